"""One account and all that belongs to it, and the sweep over its tickets.

Knows how its services work together, no adapter. Only tickets about which something may have changed are looked at,
in slices. The one invariant: a sweep starts work, never waits for the cloud, and gives way between two slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.services.agenda import Agenda
from broker.services.breath import SLICE, breathe

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.config import AccountConfig
    from broker.core.instant import Instant
    from broker.ports import Events
    from broker.services.book import Book
    from broker.services.calls import Calls
    from broker.services.fleet import Cloud
    from broker.services.identity import Identity
    from broker.services.planner import Planner
    from broker.services.tickets import TicketService

NOW_SECONDS = 0.0  # on the boot clock: past in every boot
SOONEST_SECONDS = 0.05  # between two looks at one ticket


@dataclass(slots=True)
class Account:
    """One account; `wake` asks for a sweep."""

    config: AccountConfig
    cloud: Cloud
    identity: Identity
    calls: Calls
    book: Book
    planner: Planner
    now: Callable[[], Instant]
    wake: Callable[[], None]
    agenda: Agenda[TicketService] = field(default_factory=Agenda)
    tickets: dict[str, TicketService] = field(default_factory=dict)
    looks: int = 0  # at tickets, since the start: what the sweeps have cost
    _login: tuple[str | None, bool] | None = None
    _login_told: tuple[str | None, bool] | None = None
    _looks_soon: bool = False

    # what happens

    def touch(self, ticket: TicketService) -> None:
        """Something about this ticket has changed."""
        self.agenda.look_at(ticket, NOW_SECONDS)
        if not self._looks_soon:
            self.wake()

    def login_changed(self) -> None:
        """The login or its token changed: the next sweep looks at the tickets again; without a login none is kept."""
        session = self.identity.session
        self._login = (None if session is None else session.login_id, self.identity.usable)
        if session is None:
            for ticket in self.tickets.values():
                ticket.login_changed()
            self.book.failure = None
            self.book.change()
            self._login_told = self._login
        self.wake()

    # the sweep

    async def sweep(self, events: Events) -> None:
        """Start what is due, tell what has changed, save what is not saved."""
        self._looks_soon = True  # the sweep under way sees what changes until then
        now = self.now()
        await self.identity.maintain(now)
        self.calls.watch(now)
        await self._follow_login()
        await self._choose_hours(events)
        await self._look()
        for urgent in (True, False):
            await self._start_queued(urgent=urgent)
        await self.book.reopen()
        if self.book.unsaved:
            await self.book.commit()

    async def _follow_login(self) -> None:
        if self._login == self._login_told:
            return
        self._login_told = self._login
        for number, ticket in enumerate(list(self.tickets.values()), 1):
            ticket.login_changed()
            if number % SLICE == 0:
                await breathe()

    async def _choose_hours(self, events: Events) -> None:
        if self.planner.replan(self.calls):
            events.emit("plan.changed", account=self.config.name, detail=self.planner.words)
        now = self.now()
        if not self.planner.grant_is_old(now):
            return
        bids, adaptive = self.planner.begin_bids(), []
        for number, ticket in enumerate(list(self.tickets.values()), 1):
            if ticket.config.warm == "adaptive" and ticket.need is not None:
                adaptive.append(ticket)
                self.planner.bid(bids, ticket.page.demand, ticket.need, now)
            if number % SLICE == 0:
                await breathe()
        self.planner.grant_hours(bids, self.calls, now)
        for ticket in adaptive:
            self.agenda.look_at(ticket, NOW_SECONDS)

    async def _look(self) -> None:
        self._looks_soon = False
        now = self.now()
        while (ticket := self.agenda.take_look(now.boot_seconds)) is not None:
            if self._is_ours(ticket):
                due, next_in = await ticket.look(now)
                self.agenda.look_at(ticket, now.boot_seconds + max(next_in, SOONEST_SECONDS))
                if due:
                    self.agenda.queue(ticket, urgent=ticket.urgent(now))
            self.looks += 1
            if self.looks % SLICE == 0:
                await breathe()
                now = self.now()
            while self.agenda.drop_stale():  # ten thousand touched at once leave as many behind
                await breathe()

    async def _start_queued(self, *, urgent: bool) -> None:
        while self.agenda.waiting(urgent=urgent) and self.calls.gate_in(self.now(), prefetch=not urgent) <= 0:
            ticket, now = self.agenda.take_queued(urgent=urgent), self.now()
            if not self._is_ours(ticket):
                continue
            if ticket.due_in(now) > 0:  # no longer: found good once a clock could be believed, or in flight
                self.agenda.look_at(ticket, NOW_SECONDS)
                continue
            if urgent and not ticket.urgent(now):
                self.agenda.queue(ticket, urgent=False)
                continue
            ticket.ref.start()
            await breathe()  # it counts itself before the next one may begin

    def _is_ours(self, ticket: TicketService) -> bool:
        return self.tickets.get(ticket.name) is ticket

    def due_in(self, now: Instant) -> float:
        """Seconds until something of this account is due."""
        dues = [self.identity.due_in(now), self.agenda.next_look() - now.boot_seconds, self.planner.grant_due_in(now)]
        dues += [
            self.calls.gate_in(now, prefetch=not urgent)
            for urgent in (True, False)
            if self.agenda.waiting(urgent=urgent)
        ]
        return max(0.0, min(dues))

    # what is told

    def runway_seconds(self, now: Instant) -> float | None:
        """How long every ticket that is kept warm would still be had; None where none is kept warm."""
        warm = [ticket.ref.remaining(now) for ticket in self.tickets.values() if ticket.config.warm == "always"]
        return min(warm) if warm else None
