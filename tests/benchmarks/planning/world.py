"""One account of real services in virtual time: what is simulated is the cloud, the clock and the disk, nothing else.

The cloud counts calls by itself (rolling 24 h) and refuses beyond its quota, so that a broker that miscounts is seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.config import AccountConfig, TicketConfig
from broker.core.callin import IssuedTicket
from broker.core.secret import Secret
from broker.drill.virtual import InlineWorker, VirtualClock, pass_seconds
from broker.errors import QuotaExhausted, StoreDamaged
from broker.services.fleet import Cloud, Surroundings, make_account, set_tickets
from broker.services.logins import Logins
from broker.services.maintenance import Maintenance
from broker.services.timekeeper import Timekeeper
from tests.services.fakes import FakeProvider, FakePublisher, FakeVerifier, an_account

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from broker.services.account import Account
    from broker.services.planner import Planner
    from broker.services.tickets import TicketService
    from tests.benchmarks.planning.household import Request

DAY = 86_400.0
CALL_SECONDS = 0.4


class CountingIssuer:
    """ports.TicketIssuer: a call takes `call_seconds` of virtual time; `most` is the fullest 24 h that were seen."""

    def __init__(self, clock: VirtualClock, life_seconds: float, quota: int = 0) -> None:
        self.clock = clock
        self.life_seconds = life_seconds
        self.quota = quota
        self.call_seconds = CALL_SECONDS
        self.calls = 0
        self.refused = 0
        self.most = 0
        self._recent: deque[float] = deque()

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:  # noqa: ARG002 - the port
        now = self.clock.true_seconds
        while self._recent and self._recent[0] <= now - DAY:
            self._recent.popleft()
        if self.quota and len(self._recent) >= self.quota:
            self.refused += 1
            raise QuotaExhausted(
                "used up", service="issuer", status=403, retry_after_seconds=self._recent[0] + DAY - now
            )
        self._recent.append(now)
        self.calls += 1
        self.most = max(self.most, len(self._recent))
        await pass_seconds(self.call_seconds)
        now = self.clock.true_seconds
        text = f"ticket {self.calls} for {device_id}"
        return IssuedTicket(Secret(text), {}, int(now), int(now) + int(self.life_seconds), now)

    async def close(self) -> None:
        """Nothing is open."""


class NoDisk:
    """ports.Store that keeps the last of each document; `provider` is what outlives a restart at the cloud's side."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.provider: FakeProvider | None = None

    def load(self, name: str) -> bytes | None:
        return self.documents.get(name)

    def save(self, name: str, content: bytes) -> None:
        self.documents[name] = content

    def set_aside(self, name: str, reason: str) -> StoreDamaged:
        raise AssertionError(name, reason)

    def remove(self, name: str) -> None:
        self.documents.pop(name, None)

    def names(self) -> list[str]:
        return sorted(self.documents)


class NoEvents:
    """ports.Events."""

    def emit(self, event: str, **facts: object) -> None:
        """Nobody listens."""


class NoWindow:
    """A login window that is never opened."""

    async def open(self, pending: object) -> str | None:  # noqa: ARG002 - the port
        return None

    def short_url(self, login: object) -> str | None:  # noqa: ARG002 - the port
        return None


@dataclass(slots=True)
class Tally:
    """What callers met."""

    requests: int = 0
    hits: int = 0
    failed: int = 0

    @property
    def rate(self) -> float:
        """The part that found a valid ticket at once, in percent."""
        return 100.0 * self.hits / self.requests if self.requests else 100.0


class World:
    """An account logged in, its tickets `doors`; use it inside `run_virtual`."""

    def __init__(
        self,
        clock: VirtualClock,
        issuer: CountingIssuer,
        tickets: Iterable[TicketConfig],
        *,
        planner: Callable[[Any], Planner] | None = None,
        worker: Any = None,
        store: NoDisk | None = None,
        events: Any = None,
        **api: Any,
    ) -> None:
        self.clock = clock
        self.issuer = issuer
        self.tally = Tally()
        self.sweeps = 0
        self.store = store or NoDisk()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bugs: list[BaseException | None] = []
        self._woken = asyncio.Event()
        events = events or NoEvents()
        self.timekeeper = Timekeeper(clock, events)
        worker = worker or InlineWorker()
        self.publisher = FakePublisher()
        self.around = Surroundings(
            store=self.store,
            worker=worker,
            exchanges=InlineWorker(),
            timekeeper=self.timekeeper,
            events=events,
            publisher=self.publisher,
            spawn=self._spawn,
            rest_seconds=5.0,
            wake=self._woken.set,
        )
        config: AccountConfig = an_account(**api)
        if self.store.provider is None:
            self.store.provider = FakeProvider(clock)  # type: ignore[arg-type]  # both clocks have true_seconds
        self.provider = self.store.provider
        self.account: Account = make_account(config, Cloud(self.provider, FakeVerifier(), issuer), self.around)
        if planner is not None:
            self.account.planner = planner(self.account.book)
        self.tickets = list(tickets)
        self.accounts = {config.name: self.account}
        self.logins = Logins({}, timekeeper=self.timekeeper, events=events, window=NoWindow())
        self.maintenance = Maintenance(
            lambda: self.accounts, logins=self.logins, timekeeper=self.timekeeper, events=events, longest_seconds=900.0
        )

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def open(self, *, login: bool = True, sweeping: bool = True) -> None:
        """Open the state, log in unless there is a login, and begin to sweep."""
        identity = self.account.identity
        identity.open()
        self.account.book.open()
        identity.adopt()
        set_tickets(self.account, self.tickets, self.around)
        if login and identity.session is None:
            await identity.finish_login(await identity.begin_login(), {"code": "good"})
        if sweeping:
            self._spawn(self._sweep())

    @property
    def flights(self) -> int:
        """How many tasks are under way."""
        return len(self._tasks)

    async def woken(self) -> None:
        """Wait until somebody asks for a sweep, for a second at most."""
        try:
            async with asyncio.timeout(1.0):
                await self._woken.wait()
        except TimeoutError:
            return

    def take_wake(self) -> bool:
        """Whether somebody has asked for a sweep since the last time."""
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    async def _sweep(self) -> None:
        while True:
            self._woken.clear()
            due = await self.maintenance.sweep()
            self.sweeps += 1
            try:
                async with asyncio.timeout(due):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """End everything. Raises: whatever a task of ours raised."""
        for task in list(self._tasks):
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        bugs = [end for end in [*self._bugs, *ends] if isinstance(end, Exception)]
        if bugs:
            raise bugs[0]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bugs.append(task.exception())

    def door(self, number: int) -> TicketService:
        """The service of a door."""
        return self.account.tickets[self.tickets[number].name]

    async def until(self, at: float) -> None:
        """Wait until this Unix second."""
        if at > self.clock.true_seconds:
            await pass_seconds(at - self.clock.true_seconds)

    async def ask(self, number: int) -> bool:
        """One request; whether it found a valid ticket at once."""
        service = self.door(number)
        warm = service.ref.usable(self.timekeeper.now()) is not None
        self.tally.requests += 1
        self.tally.hits += warm
        try:
            await service.get(min_validity_seconds=0, wait_seconds=None, newer_than=None)
        except Exception:  # noqa: BLE001 - counted, whatever it is
            self.tally.failed += 1
        return warm

    async def live(self, requests: list[Request]) -> None:
        """All requests at their times; none waits for another."""
        for request in requests:
            await self.until(request.at)
            self._spawn(self._asked(request.door))

    async def _asked(self, number: int) -> None:
        await self.ask(number)


def a_door(name: str, warm: str, **more: Any) -> TicketConfig:
    """A ticket."""
    return TicketConfig(name=name, account="home", plant_id="plant", device_id=name, warm=warm, **more)  # type: ignore[arg-type]
