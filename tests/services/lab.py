"""A whole account in virtual time whose cloud does as it is told: tests of tickets, calls and pools stand on it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from broker.core.callin import IssuedTicket
from broker.drill.virtual import VirtualClock, pass_seconds, run_virtual
from broker.errors import BrokerError
from broker.services.counters import Counters
from broker.services.desk import Desk
from broker.services.fleet import set_tickets
from tests.benchmarks.planning.world import CALL_SECONDS, CountingIssuer, NoDisk, World, a_door
from tests.services.fakes import Recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.config import TicketConfig
    from broker.core.secret import Secret
    from broker.services.page import HeldTicket

START = 1_795_003_200.0


class ScriptedIssuer(CountingIssuer):
    """Calls meet `outcomes` of their device first, then those of all; `hangs` names devices that do not answer."""

    def __init__(self, clock: VirtualClock, life_seconds: float = 300.0) -> None:
        super().__init__(clock, life_seconds)
        self.outcomes: deque[BrokerError] = deque()
        self.device_outcomes: dict[str, deque[BrokerError]] = {}
        self.always: BrokerError | None = None
        self.opaque = False
        self.hangs: set[str] = set()
        self.go_on = asyncio.Event()
        self.on_call: Callable[[], None] = lambda: None
        self.seen: list[tuple[float, str, str]] = []

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:
        self.seen.append((self.clock.true_seconds, device_id, token.reveal()))
        self.on_call()
        if device_id in self.hangs:
            await self.go_on.wait()
        error = self._error(device_id)
        if error is not None:
            await pass_seconds(CALL_SECONDS)
            raise error
        issued = await super().issue(plant_id, device_id, token)
        if self.opaque:
            return IssuedTicket(issued.ticket, {}, None, None, issued.server_seconds)
        return issued

    def _error(self, device_id: str) -> BrokerError | None:
        own = self.device_outcomes.get(device_id)
        if own:
            return own.popleft()
        return self.outcomes.popleft() if self.outcomes else self.always

    def of(self, device_id: str) -> list[float]:
        return [at for at, device, _ in self.seen if device == device_id]


class Lab(World):
    """The world with a scripted cloud and what was told of it."""

    def __init__(self, clock: VirtualClock, tickets: list[TicketConfig], store: NoDisk | None, **more: Any) -> None:
        self.recorder = Recorder()
        self.cloud = ScriptedIssuer(clock, more.pop("life_seconds", 300.0))
        more.setdefault("daily_quota", 0)
        more.setdefault("quota_reserve", 50 if more["daily_quota"] else 0)
        super().__init__(clock, self.cloud, tickets, store=store, events=self.recorder, **more)
        self.counters = Counters()
        self.desk = Desk(
            logins=self.logins,
            timekeeper=self.timekeeper,
            facts={},
            wake=self.around.wake,
            reload=self._no_reload,
            prober=None,  # type: ignore[arg-type]
            homes=None,  # type: ignore[arg-type]
            counters=self.counters,
        )
        self.desk.accounts_by_name = self.accounts

    async def _no_reload(self) -> dict[str, Any]:
        return {}

    async def get(self, number: int = 0, **how: Any) -> HeldTicket:
        how = {"min_validity_seconds": 0, "wait_seconds": None, "newer_than": None, **how}
        return await self.door(number).get(**how)

    async def refused(self, number: int = 0, **how: Any) -> BrokerError:
        """The error with which a request is answered."""
        try:
            held = await self.get(number, **how)
        except BrokerError as error:
            return error
        raise AssertionError(f"it was answered with generation {held.generation}")

    async def settle(self) -> None:
        """Let what has begun end, a call included."""
        await pass_seconds(2 * CALL_SECONDS)

    def rearrange(self, *tickets: TicketConfig) -> None:
        """A reload with other tickets."""
        self.tickets = list(tickets)
        set_tickets(self.account, self.tickets, self.around)
        self.around.wake()

    @property
    def calls(self) -> int:
        return len(self.cloud.seen)

    def status(self) -> dict[str, Any]:
        """The status document, which must be JSON."""
        document: dict[str, Any] = json.loads(json.dumps(self.desk.status()))
        return document

    @property
    def now(self) -> float:
        """Seconds since the lab was opened."""
        return self.clock.true_seconds - START


def in_lab(
    scenario: Callable[[Lab], Awaitable[None]],
    *tickets: TicketConfig,
    store: NoDisk | None = None,
    clock: VirtualClock | None = None,
    login: bool = True,
    **more: Any,
) -> None:
    """Play `scenario` in a lab that is opened and logged in."""
    clock = clock or VirtualClock(START)

    async def main() -> None:
        lab = Lab(clock, list(tickets) or [a_door("front", "always")], store, **more)
        await lab.open(login=login)
        try:
            await scenario(lab)
        finally:
            await lab.close()

    run_virtual(main(), clock)
