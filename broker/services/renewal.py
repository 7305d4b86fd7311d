"""How one ticket is kept: when an attempt to renew it is due, the attempt, and what comes of it.

Knows the account's calls, its planner and its book, no caller and no HTTP. The one invariant: a ticket is in the book
before anyone sees it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from broker.core.failure import after
from broker.core.freshness import Freshness, Windows, draw, ticket_windows
from broker.core.instant import Lifetime, Span, lifetime_at_receipt
from broker.core.plan import Need, observed_seconds
from broker.errors import BrokerError, Code, InvalidResponse
from broker.services.calls import NotCalled
from broker.services.exchange import next_generation
from broker.services.page import HeldTicket, binding_of
from broker.services.publication import Publication
from broker.services.refreshable import Refreshable

if TYPE_CHECKING:
    import asyncio
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

UNTOLD_SECONDS = 5.0  # until it is asked again why there is no ticket
CLOCK_SECONDS = 30.0  # until it is asked again whether a clock can be believed
NO_WINDOWS = Windows(0.0, 0.0)


class Renewal:
    """Keeps one ticket. `touch` asks for a look at it: something about it has changed."""

    __slots__ = (
        "_book", "_events", "_need", "_planner", "_publisher", "_seen_generation", "_seen_plan",
        "_seen_windows", "_timekeeper", "_told_code", "_touch", "_worker", "calls", "config",
        "forgotten", "identity", "look_at_seconds", "page", "publication", "queued", "ref",
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
        touch: Callable[[Any], None],
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
        self._seen_generation, self._seen_plan, self._seen_windows = -1, -1, NO_WINDOWS
        self._told_code: Code | None = None
        self.forgotten = False
        self.publication = self._make_publication()
        self.ref: Refreshable[HeldTicket] = Refreshable(
            self,
            now=calls.now,
            spawn=spawn,
            patience_seconds=calls.patience_seconds,
        )

    @property
    def what(self) -> str:
        """What callers are told of."""
        return f"ticket {self.name}"

    @property
    def name(self) -> str:
        """The ticket's name in the configuration."""
        return self.config.name

    def _make_publication(self) -> Publication | None:
        if self.config.publish is None:
            return None
        return Publication(self.name, publisher=self._publisher, worker=self._worker, events=self._events)

    # one attempt

    async def obtain(self) -> None:
        """One attempt; what comes of it is kept and told."""
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
            if self.identity.session is not None and self.page is page and not self.forgotten:
                await self._take(held)
            # else: logged out, or meant for another door, meanwhile: nothing of it is kept
        finally:
            self._touch(self)

    async def _take(self, held: HeldTicket) -> None:
        """Save, then show."""
        page, was_told = self.page, self.page.told
        page.generation, page.failure, page.told = held.generation, None, False
        page.life_seconds = observed_seconds(held.life, page.life_seconds)
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
        if was_told:
            self._events.emit("ticket.recovered", ticket=self.name)
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
        if self.publication is not None and not self.forgotten:
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
        again_in = math.inf
        if self.publication is not None:
            await self.publication.follow(self.ref.usable(now))
            again_in = self.publication.again_in()
        ends_in = self._note_end(now)
        due = self.due_in(now)
        if due <= 0:  # it ended while nobody knew yet why: an attempt for the token may be under way
            unexplained = ends_in == math.inf and not self.page.told
            return True, min(again_in, UNTOLD_SECONDS if unexplained else ends_in)
        if due == math.inf and self.config.warm == "adaptive" and not self.ref.in_flight:
            due = self._planner.looks_again_in(now)
        return False, min(due, ends_in, again_in)

    def _note_end(self, now: Instant) -> float:
        """Seconds until the value in hand ends, infinite where there is none; tell once when it has."""
        left = self.ref.remaining(now)
        if left > 0:
            self._note_recovery()  # the same ticket: a clock can be believed again
            return left
        if not self.page.told and not self.ref.in_flight and self.wanted(now):
            error = self._reason_to_tell(now)
            if error is not None:
                self.page.told = True
                self._book.change(self.name)
                self._events.emit("ticket.unavailable", ticket=self.name, code=error.code.value)
        return CLOCK_SECONDS if self.ref.freshness(now) is Freshness.UNKNOWN else math.inf

    def _reason_to_tell(self, now: Instant) -> BrokerError | None:
        if self.ref.failure is not None:
            return self.ref.failure.error(now)
        return self.obstacle(now) or self._prefetch_obstacle(now)

    def _prefetch_obstacle(self, now: Instant) -> BrokerError | None:
        """Why it is not kept warm although it should be: the reserve is for those who wait."""
        return self.calls.obstacle(now, prefetch=True) if self.config.warm == "always" else None

    def _note_recovery(self) -> None:
        if self.page.told:
            self.page.told = False
            self._book.change(self.name)
            self._events.emit("ticket.recovered", ticket=self.name)

    # the plan

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
        self._seen_generation = -1
        self._need = self._planner.need(self._need, need, adaptive=self.config.warm == "adaptive")

    def windows(self, value: HeldTicket) -> Windows:
        """When it is due to be renewed, and when no longer handed out: worked out once a ticket and plan."""
        if self._seen_generation == value.generation and self._seen_plan == self._planner.version:
            return self._seen_windows
        margin = math.inf if self._need is None else self._margin_seconds(self._need)
        self._seen_windows = ticket_windows(
            value.life,
            min_validity_seconds=self.config.min_validity_seconds,
            jitter=draw(self.name, value.generation),
            margin_seconds=margin,
        )
        self._seen_generation, self._seen_plan = value.generation, self._planner.version
        return self._seen_windows

    def obstacle(self, now: Instant) -> BrokerError | None:
        """Why no call may be made now, for a reason that is the account's."""
        return self.calls.obstacle(now)

    def _margin_seconds(self, need: Need) -> float:
        return self._planner.margin_seconds(need, adaptive=self.config.warm == "adaptive")
