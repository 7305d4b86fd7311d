"""One broker process in the drill: the real services, put together as the daemon does, over scripted ports.

Knows fleet, desk, maintenance and store; no weather. It lives until it is killed, and then reaches nothing any more.
Sweeps in which nothing can be due are skipped: the ticker's pause is what the services say, capped. The one
invariant: whatever happens in the world is followed by a sweep within 30 s, as by the daemon's own ticker.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker import assembly
from broker.adapters.state_key import StateKey
from broker.adapters.store import SealedStore
from broker.core.secret import Secret
from broker.drill.steps import Died, StepWorker
from broker.drill.virtual import InlineWorker
from broker.errors import BadRequest, BrokerError
from broker.services.counters import Counters
from broker.services.desk import Desk
from broker.services.fleet import Account, Cloud, Surroundings
from broker.services.homes import Homes
from broker.services.logins import Logins
from broker.services.maintenance import LONGEST_SECONDS, Maintenance
from broker.services.probe import Prober
from broker.services.timekeeper import Timekeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from broker.config import AccountConfig, Config
    from broker.core.instant import Instant, Reading
    from broker.core.tokens import PendingLogin
    from broker.drill.disk import ProcessDisk
    from broker.drill.ways import Ways
    from broker.drill.world_clock import WorldClock
    from broker.ports import Events, HomeCatalogue, TicketIssuer
    from broker.services.tickets import TicketService

AFTER_SECONDS = 1e-6  # a timer a rounding error too early would cost a sweep
IDLE_SECONDS = 3600.0  # the longest pause between two sweeps of a quiet drill
SLOT_BYTES = 16 * 1024  # for a household's documents; the daemon's own are larger, and each draws its padding anew
STATE = Path("/state")
STATE_KEY = StateKey(b"the drill keeps no real secret...", "drill")


class NoWindow:
    """A LoginWindow that never listens: persons of a drill paste."""

    async def open(self, pending: Sequence[PendingLogin]) -> str | None:
        return "a drill does not listen" if pending else None

    def short_url(self, login: PendingLogin) -> str | None:  # noqa: ARG002 -- the port's
        return None


class NoFiles:
    """ports.Publisher of a drill."""

    def publish(self, name: str, ticket: Secret) -> None:
        """Nowhere."""

    def withdraw(self, name: str) -> None:
        """From nowhere."""


class MomentKeeper(Timekeeper):
    """The Timekeeper, asked a hundred times at one virtual moment: it weighs the clocks once."""

    def __init__(self, clock: WorldClock, events: Events) -> None:
        super().__init__(clock, events)
        self._world = clock
        self._weighed: tuple[Reading, Instant] | None = None

    def now(self) -> Instant:
        reading = self._world.read()
        if self._weighed is None or self._weighed[0] is not reading:
            self._weighed = (reading, super().now())
        return self._weighed[1]

    def hear(self, server_seconds: float | None) -> None:
        self._weighed = None
        super().hear(server_seconds)

    def learn(self, saved: Instant) -> None:
        self._weighed = None
        super().learn(saved)


class Process:
    """The services of one process; `on_bug` hears what its tasks raise, `swept` is called after each sweep."""

    def __init__(
        self, config: Config, *, clock: WorldClock, disk: ProcessDisk, ways: Ways, worker: StepWorker, events: Events
    ) -> None:
        self.accounts: dict[str, Account] = {}
        self.ways = ways
        self.dead = False
        self.started_at = clock.elapsed
        self.on_bug: Callable[[BaseException], None] = lambda _: None
        self._config = config
        self._disk = disk
        self._worker = worker
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.sweeps = 0
        self.swept: Callable[[], None] = lambda: None
        self.timekeeper: Timekeeper = MomentKeeper(clock, events)
        self.logins = Logins({}, timekeeper=self.timekeeper, events=events, window=NoWindow())
        self.desk = Desk(
            logins=self.logins,
            timekeeper=self.timekeeper,
            facts={},
            wake=self.wake,
            reload=self._no_reload,
            prober=Prober(self._no_probe, timekeeper=self.timekeeper, events=events),
            homes=Homes(self._no_catalogue, timekeeper=self.timekeeper),
            counters=Counters(),
        )
        self.desk.accounts_by_name = self.accounts
        self.maintenance = Maintenance(
            lambda: self.accounts,
            logins=self.logins,
            timekeeper=self.timekeeper,
            events=events,
            longest_seconds=IDLE_SECONDS,
        )
        self._around = Surroundings(
            store=SealedStore(STATE, disk, STATE_KEY, report=self._slot_repaired, slot_bytes=SLOT_BYTES),
            worker=InlineWorker(),
            exchanges=worker,
            timekeeper=self.timekeeper,
            events=events,
            publisher=NoFiles(),
            spawn=self.spawn,
            rest_seconds=5.0,
            wake=self.wake,
        )

    def _slot_repaired(self, document: str, reason: str) -> None:
        self._events.emit("store.slot_repaired", document=document, detail=reason)

    async def _no_reload(self) -> dict[str, Any]:
        return {"changes": []}

    async def _no_probe(self, _: AccountConfig) -> TicketIssuer:
        return self.ways

    def _no_catalogue(self, _: AccountConfig) -> HomeCatalogue:
        raise BadRequest("a drill has no catalogue")

    # its life

    def start(self) -> None:
        """Open the state and begin to sweep. Raises: StoreError, Died."""
        store = self._around.store
        assert isinstance(store, SealedStore)
        store.prepare()
        added = assembly.set_fleet(self.accounts, self._config, lambda _: self._cloud(), self._around)
        for account in added:
            account.identity.open()
            account.book.open()
            for moment in account.book.moments():
                self.timekeeper.learn(moment)
            account.identity.journal.compare(account.book.login_mark)
            account.identity.adopt()
        assembly.set_tickets(self.accounts, self._config, self._around)
        self.logins.identities = {name: account.identity for name, account in self.accounts.items()}
        self.spawn(self._tick())

    def _cloud(self) -> Cloud:
        return Cloud(self.ways, self.ways, self.ways)

    def reload(self, config: Config) -> None:
        """Put another configuration in force, as the daemon does."""
        self._config = config
        assembly.set_fleet(self.accounts, config, lambda _: self._cloud(), self._around)
        assembly.set_tickets(self.accounts, config, self._around)
        self.wake()

    def kill(self) -> None:
        """The process ends here and now."""
        self.dead = self.ways.dead = self._disk.dead = True
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        self._worker.abandon()

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """A task of this process; what it raises is a bug."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, Died) and not self.dead:
            self.on_bug(error)

    def ticket(self, name: str) -> TicketService:
        """The service of one ticket."""
        for account in self.accounts.values():
            if name in account.tickets:
                return account.tickets[name]
        raise KeyError(name)

    @property
    def tasks(self) -> int:
        """How many tasks are under way."""
        return len(self._tasks)

    # its sweeps

    def wake(self) -> None:
        """Sweep now."""
        self._woken.set()

    def stir(self) -> None:
        """Something happened in the world: the daemon's ticker would look within 30 s."""
        if self._timer is None or self.dead:
            return
        loop = asyncio.get_running_loop()
        if self._timer.when() - loop.time() > LONGEST_SECONDS:
            self._timer.cancel()
            self._timer = loop.call_later(LONGEST_SECONDS, self._woken.set)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.dead:
            self._woken.clear()
            due_seconds = await self.maintenance.sweep()
            self.sweeps += 1
            self.swept()
            self._timer = loop.call_later(self._pause_seconds(due_seconds) + AFTER_SECONDS, self._woken.set)
            await self._woken.wait()
            self._timer.cancel()

    def _pause_seconds(self, due_seconds: float) -> float:
        """Where something waits for the disk or for a clock, the daemon's own pace; else what is due."""
        restless = self.timekeeper.now().true_seconds is None or any(
            account.book.unsaved or account.identity.journal.unsaved for account in self.accounts.values()
        )
        return min(due_seconds, LONGEST_SECONDS) if restless else due_seconds


async def log_in(process: Process, name: str) -> BrokerError | None:
    """A person logs in: begins, goes through the provider's page, and pastes the address; what went wrong."""
    identity = process.accounts[name].identity
    try:
        pending = await process.logins.begin(identity)
        address = f"{pending.login.redirect_uri}?code=good&state={pending.login.state.reveal()}"
        await process.logins.complete(identity, Secret(address))
    except BrokerError as error:
        return error
    process.wake()
    return None
