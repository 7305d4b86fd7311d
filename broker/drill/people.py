"""The people of one drill: the person who logs in when it must be, and the callers who ask for tickets.

Knows the machine and its process, no weather. The one invariant: who comes when is decided by the seed, and by the
login that is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from broker.core.demand import hour_of_week
from broker.drill.household import ACCOUNT
from broker.drill.process import log_in
from broker.drill.script import DAY, HOUR, MINUTE
from broker.drill.steps import Died
from broker.errors import BrokerError, Code

if TYPE_CHECKING:
    from broker.drill.machine import Machine
    from broker.drill.process import Process
    from broker.drill.script import Door, Script
    from broker.services.tickets import TicketService

PERSON_AGAIN_SECONDS = 1800.0
GIVES_UP, GAVE_UP_SECONDS = 0.3, 300.0  # so many of the persons who begin a login come again so much later


class Person:
    """Who logs in, some time after the login was missed."""

    def __init__(self, machine: Machine, seconds: float, seed: int) -> None:
        """`seconds` from the moment at which it is missed, but for the very first login."""
        self._dice = random.Random(f"{seed}/person")  # noqa: S311 -- weather, not cryptography
        self.sign_ins: list[float] = []
        self.logged_out: list[tuple[float, float]] = []
        self._machine = machine
        self._clock = machine.clock
        self._watch = machine.watch
        self._seconds = seconds
        self._missed_since: float | None = 0.0
        self._comes = False
        machine.look_at_login = self._look

    def is_logged_in(self) -> None:
        """The drill begins with a login of before."""
        self.sign_ins.append(0.0)
        self._missed_since = None

    def _look(self, process: Process) -> None:
        if not process.accounts[ACCOUNT].identity.usable:
            self._is_missed()

    def _is_missed(self) -> None:
        if self._missed_since is None:
            self._missed_since = self._clock.elapsed
            if not self._watch.losses or self._watch.losses[-1].at_seconds < self._clock.elapsed - MINUTE:
                self._watch.login_lost("found at a look")
        if not self._comes:
            self._comes = True
            first = not self.sign_ins
            self._clock.at(self._clock.elapsed + (1.0 if first else self._seconds), self._logs_in)

    def _logs_in(self) -> None:
        self._comes = False
        process = self._machine.process
        if process is not None and not process.accounts[ACCOUNT].identity.usable:
            process.spawn(self._log_in(process))
        elif process is None:
            self._comes = True
            self._clock.at(self._clock.elapsed + PERSON_AGAIN_SECONDS, self._logs_in)

    async def _log_in(self, process: Process) -> None:
        if self.sign_ins and self._dice.random() < GIVES_UP:
            self._watch.note("person: begins, and gives up")
            self._comes = True
            self._clock.at(self._clock.elapsed + GAVE_UP_SECONDS, self._logs_in)
            with contextlib.suppress(BrokerError):
                await process.logins.begin(process.accounts[ACCOUNT].identity)
            return
        error = await log_in(process, ACCOUNT)
        now = self._clock.elapsed
        if error is not None and not self._machine.login_is_hindered():
            self._watch.violate("a person who logs in is let in", error.message)
        self._watch.note(f"person: {'logged in' if error is None else error.code.value}")
        if error is not None:
            self._comes = True
            self._clock.at(now + PERSON_AGAIN_SECONDS, self._logs_in)
            return
        self.sign_ins.append(now)
        if self._missed_since is not None:
            self.logged_out.append((self._missed_since, now))
            self._missed_since = None

    def finish(self) -> None:
        """The drill is over."""
        if self._missed_since is not None:
            self.logged_out.append((self._missed_since, self._clock.elapsed))


class Callers:
    """Those who ask for tickets, since the first login."""

    def __init__(self, script: Script, machine: Machine, person: Person) -> None:
        self._household = script.household
        self._machine = machine
        self._clock = machine.clock
        self._watch = machine.watch
        self._person = person
        self._dice = random.Random(f"{script.seed}/demand")  # noqa: S311 -- weather, not cryptography
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Let them come."""
        for door in self._household.doors:
            self._plan(door)

    async def leave(self) -> None:
        """The drill is over."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _plan(self, door: Door) -> None:
        if door.requests_a_day <= 0 or (door.hours and not any(rate for _, rate in door.hours)):
            return
        rates = dict(door.hours)
        most = max(rates.values()) / HOUR if rates else door.requests_a_day / DAY
        wait = self._dice.expovariate(most)

        def come() -> None:
            if not rates or self._dice.random() * most * HOUR < rates.get(hour_of_week(self._clock.true_seconds), 0.0):
                self.call(door)
            self._plan(door)

        self._clock.at(self._clock.elapsed + wait, come)

    def call(self, door: Door, *, refused: bool = False, patience_seconds: float | None = None) -> None:
        """Somebody asks; `refused`: because the door refused the ticket in hand. Who has no more patience hangs up."""
        process = self._machine.process
        if process is None or self._machine.asleep or not self._person.sign_ins:
            return
        caller = asyncio.get_running_loop().create_task(self._ask(process, door, refused=refused))
        self._tasks.add(caller)
        caller.add_done_callback(self._tasks.discard)
        if patience_seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(patience_seconds, caller.cancel)

    async def _ask(self, process: Process, door: Door, *, refused: bool) -> None:
        self._watch.asks(door.name)
        service = process.ticket(door.name)
        now, loop = process.timekeeper.now(), asyncio.get_running_loop()
        held, asked_at = service.ref.usable(now), loop.time()
        text = None if held is None else held.ticket.reveal()
        try:
            if refused and held is not None:
                vended = await process.desk.renew_ticket(door.name, refused_generation=held.generation)
            else:
                found = await process.desk.ticket(door.name, min_validity_seconds=0, wait_seconds=None, newer_than=None)
                assert found is not None
                vended = found
        except BrokerError as error:
            if not process.dead and not refused:
                self._refused(service, door, error.code, text)
            return
        except (Died, asyncio.CancelledError):
            return
        if process.dead:
            return
        self._watch.answered(door.name, vended.ticket.reveal(), single_use=door.single_use)
        if text is not None and not refused and not door.single_use and loop.time() > asked_at + 0.001:
            self._watch.late(door.name, loop.time() - asked_at)

    def _refused(self, service: TicketService, door: Door, code: Code, text: str | None) -> None:
        if text is None and service.page.held:
            text = service.page.held[0].ticket.reveal()
        least = min(door.min_validity_seconds, 0.1 * self._household.ticket_seconds)
        if door.single_use and code is Code.STATE_UNAVAILABLE and self._machine.disk.refuses is not None:
            text = None  # it could not be written down: rightly not given away
        self._watch.refused(door.name, code, text, least)
