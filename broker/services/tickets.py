"""One shared ticket: pre-fetched before it expires, vended at once, replaced behind.

Knows the account's calls, its planner and its book, no HTTP. The one invariant: a ticket is in the book before anyone
sees it, and one that is valid is handed out whatever the cloud does.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING

from broker.core.demand import asked
from broker.core.failure import after
from broker.core.freshness import Freshness, Windows, draw, ticket_windows
from broker.core.instant import Lifetime, Span, lifetime_at_receipt
from broker.core.plan import Need
from broker.errors import BrokerError, Code, InvalidResponse, RateLimited, ShortValidity, UpstreamUnavailable
from broker.services.calls import NotCalled
from broker.services.exchange import next_generation
from broker.services.page import HeldTicket
from broker.services.publication import Publication
from broker.services.refreshable import Refreshable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from broker.config import TicketConfig
    from broker.core.callin import IssuedTicket
    from broker.core.instant import Instant
    from broker.ports import Events, Publisher, Worker
    from broker.services.book import Book
    from broker.services.calls import Calls
    from broker.services.identity import Identity
    from broker.services.planner import Planner
    from broker.services.timekeeper import Timekeeper

REFUSALS = 3  # a ticket that the door refused is fetched anew at most so often in REFUSAL_WINDOW_SECONDS
REFUSAL_WINDOW_SECONDS = 300.0
ANSWER_SECONDS = 1.0  # beyond the API's own timeouts, before a waiting caller is told that it takes long
SAME_REQUEST_SECONDS = 2.0  # requests that follow closer than that teach nothing more
UNTOLD_SECONDS = 5.0  # until it is asked again why there is no ticket
CLOCK_SECONDS = 30.0  # until it is asked again whether a clock can be believed
NO_WINDOWS = Windows(0.0, 0.0)
LIFE_TOLERANCE = 0.02  # a life that differs by less from the one observed before is the same


class TicketService:
    """Keeps one ticket and hands it out. `touch` asks for a look at it: something about it has changed."""

    __slots__ = (
        "_book", "_events", "_forgotten", "_need", "_planner", "_publisher", "_refusals", "_seen_generation",
        "_seen_margin", "_seen_windows",
        "_timekeeper", "_told_code", "_told_unavailable", "_touch", "_worker", "calls", "config", "identity",
        "look_at_seconds", "page", "publication", "queued", "ref",
    )  # fmt: skip

    def __init__(
        self,
        config: TicketConfig,
        *,
        identity: Identity,
        calls: Calls,
        book: Book,
        planner: Planner,
        timekeeper: Timekeeper,
        events: Events,
        publisher: Publisher,
        worker: Worker,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        touch: Callable[[TicketService], None],
    ) -> None:
        self.config = config
        self.identity = identity
        self.calls = calls
        self.page = book.page(config.name, binding_of(config))
        self.look_at_seconds = math.inf
        self.queued = False
        self._publisher = publisher
        self._worker = worker
        self._book = book
        self._planner = planner
        self._timekeeper = timekeeper
        self._events = events
        self._touch = touch
        self._need: Need | None = None
        self._seen_generation, self._seen_margin, self._seen_windows = -1, 0.0, NO_WINDOWS
        self._refusals: tuple[Instant, ...] = ()
        self._told_unavailable = False
        self._told_code: Code | None = None
        self._forgotten = False
        self.publication = self._make_publication()
        api = identity.config.api
        self.ref: Refreshable[HeldTicket] = Refreshable(
            f"ticket {config.name}",
            now=calls.now,
            spawn=spawn,
            obtain=self._obtain,
            windows=self._windows,
            patience_seconds=api.connect_timeout_seconds + api.timeout_seconds + ANSWER_SECONDS,
            obstacle=self._obstacle,
        )

    @property
    def name(self) -> str:
        """The ticket's name in the configuration."""
        return self.config.name

    def _make_publication(self) -> Publication | None:
        if self.config.publish is None:
            return None
        return Publication(self.name, publisher=self._publisher, worker=self._worker, events=self._events)

    # start

    def adopt(self) -> None:
        """Use what the book holds: after a start or a reload."""
        self._observe()
        if self.identity.session is not None:
            self.ref.put(self._in_hand())
        if self.page.failure is not None:
            self.ref.fail(self.page.failure.holds(self.calls.settings))
        self._touch(self)

    def reconfigure(self, config: TicketConfig, calls: Calls) -> None:
        """Go on with a new configuration; what was fetched for the same door stays in hand."""
        self.config, self.calls = config, calls
        self.page = self._book.page(config.name, binding_of(config))
        self._seen_generation, self._need = -1, None
        self.look_at_seconds, self.queued = math.inf, False
        self.publication = self._make_publication()
        self.ref.put(None)

    def login_changed(self) -> None:
        """The account has a login, a token, or none any more."""
        if self.identity.session is None and self.page.held:
            self.page.held = ()
            self._book.change(self.name)
            self.ref.put(None)
        else:
            self.ref.notify()
        self._touch(self)

    def forget(self) -> None:
        """The configuration no longer names it: what is under way is not kept."""
        self._forgotten = True

    async def withdraw(self) -> None:
        """Remove the published file."""
        if self.publication is not None:
            await self.publication.follow(None)

    # what callers ask

    async def get(
        self, *, min_validity_seconds: float, wait_seconds: float | None, newer_than: int | None
    ) -> HeldTicket:
        """A valid ticket. Raises: Unchanged, BrokerError (why there is none)."""
        now = self._timekeeper.now()
        self._learn(now)
        held = self.ref.usable(now, min_validity_seconds)
        if held is None:
            self._refuse_the_impossible(min_validity_seconds, now)
        elif self.config.warm != "always" and not self.wanted(now):
            self._renew_behind(now)
        if held is None:
            self._touch(self)  # should the attempt fail, the sweep makes the next one
        return await self.ref.get(
            min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=newer_than
        )

    def _learn(self, now: Instant) -> None:
        if self.config.warm != "adaptive" or now.true_seconds is None:
            return
        last = None if self.page.demand is None else self.page.demand.last
        if last is not None and abs(now.true_seconds - last) < SAME_REQUEST_SECONDS:
            return
        self.page.demand = asked(self.page.demand, now.true_seconds)
        self._book.change(self.name)
        self._touch(self)

    def _renew_behind(self, now: Instant) -> None:
        """Nobody keeps it warm, but somebody asks, and its end is near."""
        stale = self.ref.freshness(now) is Freshness.STALE
        if stale and self.ref.due_in(now) <= 0 and self.calls.gate_in(now, prefetch=True) <= 0:
            self.ref.start()

    def _refuse_the_impossible(self, min_validity_seconds: float, now: Instant) -> None:
        life = self.page.life_seconds
        if life is not None and min_validity_seconds > life:
            raise ShortValidity(
                f"ticket {self.name}: lives {life:.0f} s, asked for {min_validity_seconds:.0f} s",
                available_for_seconds=self.ref.available_for(now),
                hint=f"ask for less than {life:.0f} s",
            )

    async def renew(self, refused_generation: int) -> HeldTicket:
        """The door refused this generation: fetch a newer one unless there is one. Raises: BrokerError."""
        now = self._timekeeper.now()
        newer = self._newer(refused_generation, now)
        if newer is not None:
            return newer
        refusal = None if self.ref.in_flight else self.ref.refusal(now)
        if refusal is not None:
            raise refusal
        if not self.ref.in_flight:
            self._admit_refusal(now)
            self._events.emit("ticket.renewed_after_refusal", ticket=self.name, generation=refused_generation)
        self.ref.waiting += 1
        try:
            await asyncio.shield(self.ref.start())
        finally:
            self.ref.waiting -= 1
        now = self._timekeeper.now()
        newer = self._newer(refused_generation, now)
        if newer is not None:
            return newer
        raise self.ref.refusal(now) or self.pending_reason(now)

    def _newer(self, generation: int, now: Instant) -> HeldTicket | None:
        held = self.ref.usable(now)
        return held if held is not None and held.generation > generation else None

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
        left = self.ref.remaining(now)
        try:
            issued = await self.calls.issue(self.config, prefetch=not self.urgent(now), runway_seconds=left)
            held = self._held(issued)
        except NotCalled as reason:
            await self._note_obstacle(reason.cause)
        except BrokerError as error:
            await self._note_failure(error)
        else:
            if self.identity.session is not None and self.page is page and not self._forgotten:
                await self._take(held)
            # else: logged out, or meant for another door, meanwhile: nothing of it is kept
        finally:
            self._touch(self)

    async def _take(self, held: HeldTicket) -> None:
        """Save, then show."""
        page = self.page
        page.generation, page.life_seconds, page.failure = held.generation, self._observed(held.life), None
        page.held = self._shelved(held)
        self._observe()
        await self._book.commit(self.name)
        if self.page is not page:
            return
        self.ref.put(self._in_hand())
        self._told_code = None
        self._events.emit(
            "ticket.issued",
            ticket=self.name,
            generation=held.generation,
            fingerprint=held.ticket.fingerprint,
            remaining_seconds=round(held.life.span.seconds),
        )
        self._note_recovery()
        await self._publish()

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
        sender = self._book.shared_sender(issued.sender)
        return HeldTicket(issued.ticket, life, next_generation(self.page.generation, wall), sender)

    def _observed(self, life: Lifetime) -> float:
        """The life that the plan counts on: what the ticket claims, unless it comes with less."""
        seconds, before = min(life.seconds, life.span.seconds), self.page.life_seconds
        if life.seconds > 0 and seconds >= life.seconds * (1 - LIFE_TOLERANCE):
            seconds = life.seconds
        if before is not None and abs(seconds - before) <= before * LIFE_TOLERANCE:
            return before
        return seconds

    def _shelved(self, held: HeldTicket) -> tuple[HeldTicket, ...]:
        """What is in hand once this ticket came."""
        return (held,)

    def _in_hand(self) -> HeldTicket | None:
        """The ticket that decides whether callers can be served: the one that lives longest."""
        return self.page.held[-1] if self.page.held else None

    async def _note_obstacle(self, cause: BrokerError) -> None:
        """The account's own trouble: nothing to remember about this ticket, as long as the account remembers it."""
        now = self._timekeeper.now()
        if self.calls.obstacle(now, prefetch=not self.urgent(now)) is None:
            await self._note_failure(cause)
            return
        self._tell_failure(cause, cause.code, cause.retry_after_seconds or 0.0)
        self.ref.notify()

    async def _note_failure(self, error: BrokerError) -> None:
        now, before = self._timekeeper.now(), self.ref.failure
        left = self.ref.remaining(now)
        failure = after(
            error,
            before,
            now,
            runway_seconds=left,
            salt=self.name + self.page.binding,
            circumstances=self.calls.settings,
        )
        self.page.failure = failure
        self.ref.fail(failure)
        self._tell_failure(error, failure.code, failure.next_attempt_in(now))
        await self._book.commit(self.name)

    def _tell_failure(self, error: BrokerError, code: Code, seconds: float) -> None:
        if self._told_code is not code:
            self._told_code = code
            facts = {"code": code.value, "detail": error.message, "next_attempt_seconds": round(seconds)}
            self._events.emit("ticket.issue_failed", ticket=self.name, **facts)

    async def _publish(self) -> None:
        if self.publication is not None and not self._forgotten:
            await self.publication.follow(self.ref.usable(self._timekeeper.now()))

    # the sweep

    def urgent(self, now: Instant) -> bool:
        """Whether somebody waits for whom there is nothing valid: such a call may touch the reserve."""
        return self.ref.waiting > 0 and self.ref.usable(now) is None

    def wanted(self, now: Instant) -> bool:
        """Whether somebody should find a ticket ready."""
        if self.config.warm == "always" or self.ref.waiting > 0:
            return True
        if self.config.warm != "adaptive":
            return False
        need = self._need or Need(self.config.assumed_lifetime_seconds, self.config.min_validity_seconds)
        return self._planner.wants_warm(self.name, self.page.demand, need, now)

    def due_in(self, now: Instant) -> float:
        """Seconds until an attempt should start, the account's own obstacles aside; infinite where none is wanted."""
        if self.ref.in_flight or not self.wanted(now):
            return math.inf
        own = self._own_due_in(now)
        return own if self.urgent(now) else max(own, self._planned_pause(now))

    def _own_due_in(self, now: Instant) -> float:
        return self.ref.due_in(now)

    def _planned_pause(self, now: Instant) -> float:
        """With too small a quota, the rest of the planned interval since the last ticket."""
        plan = self._planner.steady
        if self.config.warm != "always" or plan.stretch <= 1 or self._need is None or not self.page.held:
            return 0.0
        since = now.since(self.page.held[-1].life.span.start)
        return 0.0 if since is None else plan.interval_seconds(self._need) / self._need.count - since

    async def look(self, now: Instant) -> tuple[bool, float]:
        """Put right what time has changed: whether an attempt is due, and seconds until the next look."""
        if self.publication is not None:
            await self.publication.follow(self.ref.usable(now))
        ends_in = self._note_end(now)
        due = self.due_in(now)
        if due <= 0:  # it ended while nobody knew yet why: an attempt for the token may be under way
            unexplained = ends_in == math.inf and not self._told_unavailable
            return True, UNTOLD_SECONDS if unexplained else ends_in
        if due == math.inf and self.config.warm == "adaptive" and not self.ref.in_flight:
            due = self._planner.looks_again_in(now)
        return False, min(due, ends_in)

    def _note_end(self, now: Instant) -> float:
        """Seconds until the value in hand ends, infinite where there is none; tell once when it has."""
        left = self.ref.remaining(now)
        if left > 0:
            self._note_recovery()  # the same ticket: a clock can be believed again
            return left
        if not self._told_unavailable and not self.ref.in_flight and self.wanted(now):
            error = self._reason_to_tell(now)
            if error is not None:
                self._told_unavailable = True
                self._events.emit("ticket.unavailable", ticket=self.name, code=error.code.value)
        return CLOCK_SECONDS if self.ref.freshness(now) is Freshness.UNKNOWN else math.inf

    def _reason_to_tell(self, now: Instant) -> BrokerError | None:
        if self.ref.failure is not None:
            return self.ref.failure.error(now)
        return self._obstacle(now) or self._prefetch_obstacle(now)

    def _prefetch_obstacle(self, now: Instant) -> BrokerError | None:
        """Why it is not kept warm although it should be: the reserve is for those who wait."""
        return self.calls.obstacle(now, prefetch=True) if self.config.warm == "always" else None

    def _note_recovery(self) -> None:
        if self._told_unavailable:
            self._told_unavailable = False
            self._events.emit("ticket.recovered", ticket=self.name)

    # what is told

    @property
    def need(self) -> Need | None:
        """What the plan provides for; None where the ticket is not kept warm or its life is not known yet."""
        return self._need

    def _observe(self) -> None:
        """Tell the planner what this ticket needs by now."""
        need, life = None, self.page.life_seconds
        if self.config.warm != "on-demand" and life is not None:
            pool = self.config.pool if self.config.single_use else 1
            need = Need(life, self.config.min_validity_seconds, pool)
        self._need = self._planner.need(self._need, need, adaptive=self.config.warm == "adaptive")

    def _obstacle(self, now: Instant) -> BrokerError | None:
        return self.calls.obstacle(now)

    def code(self, now: Instant) -> Code | None:
        """Why there is no ticket; None where there is one or nobody has asked for one."""
        error = self.why_unavailable(now)
        return None if error is None else error.code

    def why_unavailable(self, now: Instant) -> BrokerError | None:
        """The reason why there is no valid ticket; None where there is one, or nobody has asked."""
        if self.ref.usable(now) is not None:
            return None
        refusal = self.ref.refusal(now)
        if refusal is not None:
            return refusal
        if self.ref.failure is not None:
            return self.ref.failure.error(now)
        prefetching = None if self.urgent(now) else self._prefetch_obstacle(now)
        if prefetching is not None:
            return prefetching
        return self.pending_reason(now) if self.wanted(now) or self.ref.in_flight else None

    def pending_reason(self, now: Instant) -> BrokerError:
        """Why there is nothing to hand out although nothing has failed."""
        if self.ref.value is not None or self.ref.in_flight:
            return self.ref.pending_reason(now)
        return UpstreamUnavailable(
            f"ticket {self.name}: none is held; the next attempt is near", service="broker", retry_after_seconds=1.0
        )

    def _windows(self, held: HeldTicket) -> Windows:
        margin = math.inf if self._need is None else self._margin_seconds(self._need)
        if self._seen_generation == held.generation and self._seen_margin == margin:
            return self._seen_windows
        self._seen_windows = ticket_windows(
            held.life,
            min_validity_seconds=self.config.min_validity_seconds,
            jitter=draw(self.name, held.generation),
            margin_seconds=margin,
        )
        self._seen_generation, self._seen_margin = held.generation, margin
        return self._seen_windows

    def _margin_seconds(self, need: Need) -> float:
        return self._planner.margin_seconds(need, adaptive=self.config.warm == "adaptive")


def binding_of(config: TicketConfig) -> str:
    """A digest of the door that a ticket opens."""
    text = f"{config.account}\x1f{config.plant_id}\x1f{config.device_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
