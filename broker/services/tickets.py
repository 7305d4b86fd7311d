"""One shared ticket: pre-fetched before it expires, vended at once, replaced behind.

Knows the account's calls and its book, no HTTP. The one invariant: a ticket is in the book before anyone sees it, and
one that is valid is handed out whatever the cloud does.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from broker.core.failure import after
from broker.core.freshness import Freshness, Windows, draw, ticket_windows
from broker.core.instant import Instant, Lifetime, Span, lifetime_at_receipt
from broker.core.plan import Need
from broker.errors import BrokerError, Code, InvalidResponse, LoginError, RateLimited, StoreError
from broker.services.book import HeldTicket
from broker.services.exchange import next_generation, settings_of
from broker.services.refreshable import Refreshable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from broker.config import TicketConfig
    from broker.core.callin import IssuedTicket
    from broker.core.plan import Plan
    from broker.ports import Events, Publisher, Worker
    from broker.services.book import Book
    from broker.services.calls import Calls
    from broker.services.identity import Identity
    from broker.services.timekeeper import Timekeeper

REFUSALS = 3  # a ticket that the door refused is fetched anew at most so often in REFUSAL_WINDOW_SECONDS
REFUSAL_WINDOW_SECONDS = 300.0
INTEREST_SECONDS = 3600.0  # how long one request keeps an adaptive ticket warm
ANSWER_SECONDS = 1.0  # beyond the API's own timeouts, before a waiting caller is told that it takes long


class TicketService:
    """Keeps one ticket and hands it out."""

    def __init__(
        self,
        config: TicketConfig,
        *,
        identity: Identity,
        calls: Calls,
        book: Book,
        timekeeper: Timekeeper,
        events: Events,
        publisher: Publisher,
        worker: Worker,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        plan: Callable[[], Plan],
    ) -> None:
        self.config = config
        self.identity = identity
        self.calls = calls
        self.page = book.page(config.name, binding_of(config))
        self._book = book
        self._timekeeper = timekeeper
        self._events = events
        self._publisher = publisher
        self._worker = worker
        self._plan = plan
        self._settings = settings_of(identity.config)
        self._asked: Instant | None = None
        self._refusals: tuple[Instant, ...] = ()
        self._awaits_token = False
        self._told_unavailable = False
        api = identity.config.api
        self.ref: Refreshable[HeldTicket] = Refreshable(
            f"ticket {config.name}",
            now=timekeeper.now,
            spawn=spawn,
            obtain=self._obtain,
            windows=self._windows,
            patience_seconds=api.connect_timeout_seconds + api.timeout_seconds + ANSWER_SECONDS,
        )

    @property
    def name(self) -> str:
        """The ticket's name in the configuration."""
        return self.config.name

    # start

    def adopt(self) -> None:
        """Use what the book holds: after a start or a reload."""
        if self.identity.session is not None:
            self.ref.put(self._next_in_hand())
        if self.page.failure is not None:
            self.ref.fail(self.page.failure.holds(self._settings))

    def reconfigure(self, config: TicketConfig, calls: Calls) -> None:
        """Go on with a new configuration; what was fetched for the same door stays in hand."""
        self.config, self.calls = config, calls
        self.page = self._book.page(config.name, binding_of(config))
        self._settings = settings_of(self.identity.config)
        self.ref.put(None)
        self.adopt()

    def login_changed(self) -> None:
        """The account has a login, a token, or none any more."""
        if self.identity.session is None:
            self.page.held = ()
            self.ref.put(None)
        elif self._awaits_token:
            self._awaits_token = False
            self.ref.fail(None)

    async def withdraw(self) -> None:
        """Remove the published file."""
        if self.config.publish is not None:
            await self._worker.run(lambda: self._publisher.withdraw(self.name))

    # what callers ask

    async def get(
        self, *, min_validity_seconds: float, wait_seconds: float | None, newer_than: int | None
    ) -> HeldTicket:
        """A valid ticket. Raises: Unchanged, BrokerError (why there is none)."""
        now = self._timekeeper.now()
        self._asked = now
        refusal = self._no_hope(now)
        if refusal is not None:
            raise refusal
        if self.config.warm != "always" and self.ref.freshness(now) is Freshness.STALE and self._renewal_due(now):
            self.ref.start()
        return await self.ref.get(
            min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=newer_than
        )

    def _no_hope(self, now: Instant) -> BrokerError | None:
        """Why no attempt can bring a ticket now, where none is valid; None where one can."""
        if self.ref.usable(now) is not None or self.ref.in_flight:
            return None
        if not self.identity.usable and self.identity.token.usable(now) is None:
            return self.identity.why_no_login()
        return None

    async def renew(self, refused_generation: int) -> HeldTicket:
        """The door refused this generation: fetch a newer one unless there is one. Raises: BrokerError."""
        now = self._timekeeper.now()
        value = self.ref.usable(now)
        if value is not None and value.generation > refused_generation:
            return value
        self._admit_refusal(now)
        if self.ref.failure is not None and self.ref.failure.next_attempt_in(now) > 0:
            raise self.ref.failure.error(now)
        self.ref.start()
        wait = self.identity.config.api.timeout_seconds + ANSWER_SECONDS
        self._events.emit("ticket.renewed_after_refusal", ticket=self.name, generation=refused_generation)
        return await self.ref.get(wait_seconds=wait, newer_than=refused_generation)

    def _admit_refusal(self, now: Instant) -> None:
        recent = [at for at in self._refusals if (now.since(at) or 0.0) < REFUSAL_WINDOW_SECONDS]
        if len(recent) >= REFUSALS:
            wait = REFUSAL_WINDOW_SECONDS - (now.since(recent[0]) or 0.0)
            raise RateLimited(
                f"ticket {self.name}: fetched anew {REFUSALS} times in {REFUSAL_WINDOW_SECONDS:.0f} s already",
                service="broker",
                retry_after_seconds=max(1.0, wait),
                hint="if the door refuses fresh tickets, the device or the clock of the SDK process is wrong",
            )
        self._refusals = (*recent, now)

    # one attempt

    async def _obtain(self) -> None:
        now, page = self._timekeeper.now(), self.page
        prefetch = self.ref.waiting == 0 or self.ref.usable(now) is not None
        try:
            issued = await self.calls.issue(self.config, prefetch=prefetch)
            held = self._held(issued)
        except BrokerError as error:
            await self._note_failure(error)
            return
        if self.identity.session is None or self.page is not page:
            return  # logged out, or meant for another door, meanwhile: nothing of it is kept
        self.page.generation, self.page.life_seconds, self.page.failure = (
            held.generation,
            held.life.span.seconds,
            None,
        )
        self.page.held = self._shelved(held)
        await self._book.commit()
        self.ref.put(self._next_in_hand())
        self._events.emit(
            "ticket.issued",
            ticket=self.name,
            generation=held.generation,
            fingerprint=held.ticket.fingerprint,
            remaining_seconds=round(held.life.span.seconds),
        )
        if self._told_unavailable:
            self._told_unavailable = False
            self._events.emit("ticket.recovered", ticket=self.name)
        await self._publish(held)

    def _held(self, issued: IssuedTicket) -> HeldTicket:
        now, wall = self._timekeeper.now(), self._timekeeper.wall_seconds()
        if issued.expires_at is None:
            start = int(now.true_seconds if now.true_seconds is not None else wall)
            seconds = self.config.assumed_lifetime_seconds
            life = Lifetime(start, start + int(seconds), Span(now, seconds))
        else:
            life = lifetime_at_receipt(
                issued_at=issued.issued_at,
                expires_at=issued.expires_at,
                server_seconds=issued.server_seconds,
                now=now,
                wall_seconds=wall,
            )
        if life.span.seconds <= 0:
            raise InvalidResponse(f"ticket {self.name}: it had expired when it came", service="call-in")
        return HeldTicket(issued.ticket, life, next_generation(self.page.generation, wall), issued.sender)

    def _shelved(self, held: HeldTicket) -> tuple[HeldTicket, ...]:
        """What is in hand once this ticket came."""
        return (held,)

    def _next_in_hand(self) -> HeldTicket | None:
        """The ticket that callers get next."""
        return self.page.held[0] if self.page.held else None

    async def _note_failure(self, error: BrokerError) -> None:
        now, before = self._timekeeper.now(), self.ref.failure
        left = self.ref.remaining(now)
        failure = after(
            error, before, now, runway_seconds=left, salt=self.name + self.page.binding, circumstances=self._settings
        )
        self._awaits_token = isinstance(error, LoginError) or (
            not isinstance(error, StoreError) and self.identity.token.usable(now) is None
        )
        self.page.failure = failure
        self.ref.fail(failure)
        self._book.change()
        if before is None or before.code is not failure.code:
            self._events.emit(
                "ticket.issue_failed",
                ticket=self.name,
                code=failure.code.value,
                detail=failure.message,
                next_attempt_seconds=round(failure.next_attempt_in(now)),
            )
        await self._book.commit()

    async def _publish(self, held: HeldTicket) -> None:
        if self.config.publish is None:
            return
        try:
            await self._worker.run(lambda: self._publisher.publish(self.name, held.ticket))
        except StoreError as error:
            self._events.emit("publish.failed", ticket=self.name, detail=error.message)

    # the sweep

    def wanted(self, now: Instant) -> bool:
        """Whether somebody should find a ticket ready."""
        if self.config.warm == "always" or self.ref.waiting > 0:
            return True
        if self.config.warm == "adaptive" and self._asked is not None:
            return (now.since(self._asked) or 0.0) < INTEREST_SECONDS
        return False

    def _renewal_due(self, now: Instant) -> bool:
        return self.due_in(now, wanted=True) <= 0

    def due_in(self, now: Instant, *, wanted: bool | None = None) -> float:
        """Seconds until an attempt should start; infinite where nobody wants one or none can succeed."""
        if not (self.wanted(now) if wanted is None else wanted):
            return math.inf
        if not self.identity.usable and self.identity.token.usable(now) is None:
            return math.inf
        missing = self.ref.usable(now) is None
        prefetch = not (missing and self.ref.waiting > 0)
        pause = self._planned_pause(now) if prefetch else 0.0
        return max(self.ref.due_in(now), self.calls.free_in(now, prefetch=prefetch), pause)

    def _planned_pause(self, now: Instant) -> float:
        """With too small a quota, the rest of the planned interval since the last ticket."""
        plan, need = self._plan(), self.need()
        if plan.stretch <= 1 or need is None or not self.page.held:
            return 0.0
        since = now.since(self.page.held[-1].life.span.start)
        return 0.0 if since is None else plan.interval_seconds(need) - since

    def maintain(self, now: Instant) -> None:
        """Start what is due; tell once when there is nothing to hand out."""
        if self.due_in(now) <= 0:
            self.ref.start()
        if self.wanted(now) and self.ref.usable(now) is None and not self.ref.in_flight:
            self._tell_unavailable(now)

    def _tell_unavailable(self, now: Instant) -> None:
        if self._told_unavailable:
            return
        self._told_unavailable = True
        code = self.code(now)
        self._events.emit("ticket.unavailable", ticket=self.name, code=None if code is None else code.value)

    async def expire(self, now: Instant) -> None:
        """Withdraw the published file of a ticket that is no longer valid."""
        if self.config.publish is not None and self.ref.usable(now) is None:
            await self.withdraw()

    # what is told

    def need(self) -> Need | None:
        """What the plan must provide for; None where the ticket is not kept warm or its life is not known yet."""
        if self.config.warm != "always" or self.page.life_seconds is None:
            return None
        return Need(self.page.life_seconds, self.config.min_validity_seconds)

    def code(self, now: Instant) -> Code | None:
        """Why there is no ticket; None where there is one or nobody has asked for one."""
        error = self.why_unavailable(now)
        return None if error is None else error.code

    def why_unavailable(self, now: Instant) -> BrokerError | None:
        """The reason why there is no valid ticket; None where there is one, or nobody has asked."""
        if self.ref.usable(now) is not None:
            return None
        hopeless = self._no_hope(now)
        if hopeless is not None:
            return hopeless
        if self.ref.failure is not None:
            return self.ref.failure.error(now)
        refusal = self.calls.refusal(now, prefetch=True)
        if refusal is not None:
            return refusal
        return self.ref.pending_reason(now) if self.wanted(now) or self.ref.in_flight else None

    def _windows(self, held: HeldTicket) -> Windows:
        need, plan = self.need(), self._plan()
        margin = None if need is None else plan.margin_seconds(need)
        return ticket_windows(
            held.life,
            min_validity_seconds=self.config.min_validity_seconds,
            jitter=draw(self.name, held.generation),
            margin_seconds=margin,
        )


def binding_of(config: TicketConfig) -> str:
    """A digest of the door that a ticket opens."""
    text = f"{config.account}\x1f{config.plant_id}\x1f{config.device_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
