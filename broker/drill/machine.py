"""The machine of one drill: its clock, its disk, its power, and the broker process that runs on it, if one does.

It starts and ends processes, and tells the watch of it. Knows no weather and nobody who asks. The one invariant: at
most one process lives, and what a dead one began reaches nothing any more.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from broker.drill.cloud import ScriptedCloud, Sky
from broker.drill.disk import ScriptedDisk
from broker.drill.household import ACCOUNT, configuration
from broker.drill.process import Process
from broker.drill.script import KINDS, MINUTE
from broker.drill.steps import Died, StepWorker
from broker.drill.watch import Watch
from broker.drill.ways import Ways
from broker.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.config import Config
    from broker.drill.script import Script
    from broker.drill.world_clock import WorldClock

RESTART_SECONDS = 5.0
START_AGAIN_SECONDS = 30.0
LEAP_SECONDS = 2.0


class Machine:
    """Where the broker runs; `look_at_login` is called with the process at its start and after each of its sweeps."""

    def __init__(self, script: Script, clock: WorldClock) -> None:
        self.household = script.household
        self.clock = clock
        self.sky = Sky()
        self.cloud = ScriptedCloud(script.household, self.sky, epoch=clock.start_seconds)
        self.watch = Watch(script.household, self.cloud, clock)
        self.disk = ScriptedDisk(random.Random(f"{script.seed}/disk"))  # noqa: S311 -- weather, not cryptography
        self.config = configuration(script.household)
        self.process: Process | None = None
        self.look_at_login: Callable[[Process], None] = lambda _: None
        self.sweeps = 0
        self.downs: list[tuple[float, float]] = []
        self.powered = True
        self.asleep = False
        self._down_since: float | None = 0.0
        self._saved_until: dict[str, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    # its processes

    def start_process(self) -> None:
        """Start the broker, where there is power and none runs yet."""
        if self.process is not None or not self.powered:
            return
        self._loop = asyncio.get_running_loop()
        worker = StepWorker(self._may_leap, self.clock.advance)
        process_disk = self.disk.for_process(self._crashed)
        ways = Ways(
            self.cloud,
            self.clock,
            watch=self.watch,
            pause=worker.pause,
            api_timeout_seconds=self.config.accounts[ACCOUNT].api.timeout_seconds,
        )
        process = Process(self.config, clock=self.clock, disk=process_disk, ways=ways, worker=worker, events=self.watch)
        try:
            process.start()
        except (StoreError, Died) as error:
            self.watch.note(f"process: it does not start ({type(error).__name__})")
            process.kill()
            self.clock.at(self.clock.elapsed + START_AGAIN_SECONDS, self.start_process)
            return
        self._adopt(process)

    def _adopt(self, process: Process) -> None:
        self.process = self.watch.process = process
        process.swept = self._swept
        process.on_bug = lambda bug: self.watch.violate("no bug ends the process", repr(bug))
        now = self.clock.elapsed
        if self._down_since is not None:
            self.downs.append((self._down_since, now))
            self._down_since = None
        self.watch.note("process: started")
        self.watch.excuses.up_since = now
        self.watch.excuses.disk = self.disk.refuses is not None
        self._check_survival(process)
        self.look_at_login(process)

    def _check_survival(self, process: Process) -> None:
        """A shared ticket that was committed and is still good is in hand at once."""
        for door in self.household.doors:
            saved = self._saved_until.get(door.name, 0.0) if not door.single_use else 0.0
            now = process.timekeeper.now()
            if saved > self.clock.elapsed + MINUTE and now.true_seconds is not None and not self.watch.excuses.clock:
                held = process.ticket(door.name).page.held
                if not held:
                    self.watch.violate("a valid ticket survives a restart", door.name)
        self._saved_until = {}

    def end_process(self) -> None:
        """The process ends here and now."""
        process = self.process
        if process is None:
            return
        if self.watch.excuses.disk or self.disk.refuses is not None:
            self.watch.forgive()
            self.watch.state_lost()
            self.watch.excuses.disk = True
            self._saved_until = {}
        else:
            self._saved_until = {name: cover.until for name, cover in self.watch.doors.items()}
        if process.accounts[ACCOUNT].identity.token.in_flight:
            self.watch.answer_may_be_lost()
        self.sweeps += process.sweeps
        self.process = None
        self.watch.process_ended()
        self.watch.note("process: ended")
        self._down_since = self.clock.elapsed
        process.kill()

    def _crashed(self) -> None:
        """It died in the middle of a write, which may have been of the very failure to wait for."""
        self.watch.write_torn()
        if self.process is not None and self.process.accounts[ACCOUNT].identity.token.in_flight:
            self.watch.answer_may_be_lost()
        assert self._loop is not None
        self._loop.call_soon(self._crash_ends)  # it may be a step in its own thread that dies, which has no loop

    def _crash_ends(self) -> None:
        self.watch.news.forgive()  # what it still told since that write is as little written down
        self.end_process()
        self.clock.at(self.clock.elapsed + RESTART_SECONDS, self.start_process)

    def _may_leap(self) -> bool:
        """Whether nothing else happens while the token endpoint answers."""
        process = self.process
        if process is None:
            return False
        outage = self.sky.now("outage", "token")
        seconds = process.ways.answer_seconds("token")
        if seconds > LEAP_SECONDS or (outage is not None and outage.values.get("form") == "timeout"):
            return False
        return self.clock.quiet_for() > seconds

    def _swept(self) -> None:
        process = self.process
        if process is not None:
            self.watch.look(process)
            self.look_at_login(process)

    def login_is_hindered(self) -> bool:
        """Whether the weather is such that no person can log in."""
        sky = self.sky
        hindrances = (KINDS[it.kind].token and it.values.get("where", "all") != "api" for it in sky.active)
        return self.disk.refuses is not None or self.watch.excuses.clock or any(hindrances)

    def stir(self) -> None:
        """Something happened in the world."""
        if self.process is not None:
            self.process.stir()

    def reload(self, config: Config) -> None:
        """The operator puts a configuration in force."""
        self.config = config
        self.watch.forgive()
        if self.process is not None:
            self.process.reload(config)

    # its power

    def suspend(self, seconds: float) -> None:
        """It sleeps, and the world goes on."""
        if not self.powered:
            return
        down_from = self.clock.elapsed
        self.asleep = True
        self.clock.suspend(seconds)
        self.asleep = False
        self.watch.excuses.up_since = self.clock.elapsed
        self.downs.append((down_from, self.clock.elapsed))

    def cut_power(self) -> None:
        """What was not synced is lost, all or a part of it."""
        self.end_process()
        self.disk.power_cut()
        self.powered = False

    def boot(self, wall_seconds: float) -> None:
        """The power is back; `wall_seconds` is what the clock on the board says."""
        self.powered = True
        self.clock.boot(wall_seconds)

    def finish(self) -> None:
        """The drill is over."""
        if self._down_since is not None:
            self.downs.append((self._down_since, self.clock.elapsed))
        self.watch.finish()
