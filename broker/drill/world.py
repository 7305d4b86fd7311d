"""The world of one drill: plays the script to its end against the real services, and says what was seen.

It moves the weather, the machine, the disk, the processes, the callers and the person who logs in. The same script,
the same log. Knows everything here but the oracle. The one invariant: what happens is in the script or follows from
its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from broker.config import (
    AccountConfig,
    ApiConfig,
    Config,
    OAuthConfig,
    SecretReference,
    SocketConfig,
    StateConfig,
    TicketConfig,
)
from broker.core.secret import Secret
from broker.drill.cloud import PLANT_ID, ScriptedCloud, Sky
from broker.drill.disk import ScriptedDisk
from broker.drill.process import Process, log_in
from broker.drill.script import DAY, HOUR, KINDS, MINUTE, UPSTREAM_SECONDS
from broker.drill.steps import Died, StepWorker
from broker.drill.virtual import START_SECONDS, run_virtual
from broker.drill.watch import Watch
from broker.drill.ways import CERTIFICATE_SECONDS, Ways
from broker.drill.world_clock import WorldClock
from broker.errors import BrokerError, Code, StoreError

if TYPE_CHECKING:
    from broker.drill.script import Door, Happening, Household, Script
    from broker.services.tickets import TicketService

RESTART_SECONDS = 5.0
PERSON_AGAIN_SECONDS = 1800.0
LEAP_SECONDS = 2.0
KEEPALIVE_SECONDS = DAY
LEAST_SECONDS = 1e-5  # less cannot be added to a Unix time: waited for, it would never be over
ACCOUNT = "home"
ERRORS = {"full": errno.ENOSPC, "eio": errno.EIO, "readonly": errno.EROFS}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one drill came to: the watch with all it saw, and how much was done."""

    script: Script
    watch: Watch
    sweeps: int
    sign_ins: tuple[float, ...]
    downs: tuple[tuple[float, float], ...]
    logged_out: tuple[tuple[float, float], ...]

    @property
    def digest(self) -> str:
        """Of the whole log: the same seed gives the same."""
        return self.watch.digest.hexdigest()


def play(script: Script, *, keep_log: bool = False, most_violations: int = 200) -> Seen:
    """Live through a script, or until so many promises were broken. Raises: whatever is a bug of the drill itself."""
    clock = WorldClock()
    world = World(script, clock)
    world.watch.most_violations = most_violations
    if keep_log:
        world.watch.decisions = []
    run_virtual(world.live(), clock)
    return world.seen()


class World:
    """One drill while it is played."""

    def __init__(self, script: Script, clock: WorldClock) -> None:
        self.script = script
        self.clock = clock
        self.sky = Sky()
        self.cloud = ScriptedCloud(script.household, self.sky, epoch=START_SECONDS)
        self.watch = Watch(script.household, self.cloud, clock)
        self.disk = ScriptedDisk(random.Random(f"{script.seed}/disk"))  # noqa: S311 -- weather, not cryptography
        self._demand = random.Random(f"{script.seed}/demand")  # noqa: S311 -- weather, not cryptography
        self._config = configuration(script.household)
        self._settings = 0
        self.process: Process | None = None
        self._sweeps = 0
        self._sign_ins: list[float] = []
        self._downs: list[tuple[float, float]] = []
        self._down_since: float | None = 0.0
        self._logged_out: list[tuple[float, float]] = []
        self._logged_out_since: float | None = 0.0
        self._person_comes = False
        self._powered = True
        self._asleep = False
        self._enough = asyncio.Event()
        self.watch.enough = self._enough.set
        self._callers: set[asyncio.Task[None]] = set()

    async def live(self) -> None:
        """From the beginning to the end."""
        self._loop = asyncio.get_running_loop()
        for happening in self.script.happenings:
            if happening.at_seconds < self.script.seconds:
                self.clock.at(happening.at_seconds, lambda it=happening: self._begin(it))  # type: ignore[misc]
        for door in self.script.household.doors:
            self._plan_demand(door)
        self._start_process()
        while (left := self.script.seconds - self.clock.elapsed) > LEAST_SECONDS and not self._enough.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(KEEPALIVE_SECONDS, left)):
                    await self._enough.wait()
        self._end_process()
        for caller in list(self._callers):
            caller.cancel()
        if self._callers:
            await asyncio.wait(self._callers)
        self._close_books()

    def _close_books(self) -> None:
        now = self.clock.elapsed
        if self._down_since is not None:
            self._downs.append((self._down_since, now))
        if self._logged_out_since is not None:
            self._logged_out.append((self._logged_out_since, now))
        self.watch.finish()

    def seen(self) -> Seen:
        """What it came to."""
        return Seen(
            self.script,
            self.watch,
            self._sweeps,
            tuple(self._sign_ins),
            tuple(self._downs),
            tuple(self._logged_out),
        )

    # processes

    def _start_process(self) -> None:
        if self.process is not None or not self._powered:
            return
        worker = StepWorker(self._may_leap, self.clock.advance)
        process_disk = self.disk.for_process(self._crashed)
        ways = Ways(
            self.cloud,
            self.clock,
            watch=self.watch,
            pause=worker.pause,
            api_timeout_seconds=self._config.accounts[ACCOUNT].api.timeout_seconds,
        )
        process = Process(
            self._config, clock=self.clock, disk=process_disk, ways=ways, worker=worker, events=self.watch
        )
        try:
            process.start()
        except (StoreError, Died) as error:
            self.watch.note(f"process: it does not start ({type(error).__name__})")
            process.kill()
            self.clock.at(self.clock.elapsed + 30.0, self._start_process)
            return
        self._adopt(process)

    def _adopt(self, process: Process) -> None:
        self.process = self.watch.process = process
        process.swept = self._swept
        process.on_bug = lambda bug: self.watch.violate("no bug ends the process", repr(bug))
        now = self.clock.elapsed
        if self._down_since is not None:
            self._downs.append((self._down_since, now))
            self._down_since = None
        self.watch.note("process: started")
        self.watch.excuses.up_since = now
        self.watch.excuses.disk = self.disk.refuses is not None
        self._check_survival(process)
        if not process.accounts[ACCOUNT].identity.usable:
            self._login_is_missed()

    def _check_survival(self, process: Process) -> None:
        """A shared ticket that was committed and is still good is in hand at once."""
        for door in self.script.household.doors:
            saved = self._saved_until.get(door.name, 0.0) if not door.single_use else 0.0
            now = process.timekeeper.now()
            if saved > self.clock.elapsed + MINUTE and now.true_seconds is not None and not self.watch.excuses.clock:
                held = process.ticket(door.name).page.held
                if not held:
                    self.watch.violate("a valid ticket survives a restart", door.name)
        self._saved_until = {}

    _saved_until: dict[str, float] = {}  # noqa: RUF012 -- replaced, never changed

    def _end_process(self) -> None:
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
        self._sweeps += process.sweeps
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
        self._loop.call_soon(self._crash_ends)  # it may be a step in its own thread that dies

    def _crash_ends(self) -> None:
        self._end_process()
        self.clock.at(self.clock.elapsed + RESTART_SECONDS, self._start_process)

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
            self._look_at_login(process)

    # the person

    def _look_at_login(self, process: Process) -> None:
        usable = process.accounts[ACCOUNT].identity.usable
        if not usable:
            self._login_is_missed()

    def _login_is_missed(self) -> None:
        if self._logged_out_since is None:
            self._logged_out_since = self.clock.elapsed
            if not self.watch.losses or self.watch.losses[-1].at_seconds < self.clock.elapsed - MINUTE:
                self.watch.login_lost("found at a look")
        if not self._person_comes:
            self._person_comes = True
            first = not self._sign_ins
            self.clock.at(
                self.clock.elapsed + (1.0 if first else self.script.household.person_seconds), self._person_logs_in
            )

    def _person_logs_in(self) -> None:
        self._person_comes = False
        process = self.process
        if process is not None and not process.accounts[ACCOUNT].identity.usable:
            process.spawn(self._log_in(process))
        elif process is None:
            self._person_comes = True
            self.clock.at(self.clock.elapsed + PERSON_AGAIN_SECONDS, self._person_logs_in)

    async def _log_in(self, process: Process) -> None:
        error = await log_in(process, ACCOUNT)
        now = self.clock.elapsed
        self.watch.note(f"person: {'logged in' if error is None else error.code.value}")
        if error is not None:
            self._person_comes = True
            self.clock.at(now + PERSON_AGAIN_SECONDS, self._person_logs_in)
            return
        self._sign_ins.append(now)
        if self._logged_out_since is not None:
            self._logged_out.append((self._logged_out_since, now))
            self._logged_out_since = None

    # callers

    def _plan_demand(self, door: Door) -> None:
        if door.requests_a_day <= 0:
            return
        wait = self._demand.expovariate(door.requests_a_day / DAY)

        def come() -> None:
            self._call(door)
            self._plan_demand(door)

        self.clock.at(self.clock.elapsed + wait, come)

    def _call(self, door: Door, *, refused: bool = False) -> None:
        process = self.process
        if process is None or not self._sign_ins:
            return
        caller = asyncio.get_running_loop().create_task(self._ask(process, door, refused=refused))
        self._callers.add(caller)
        caller.add_done_callback(self._callers.discard)

    async def _ask(self, process: Process, door: Door, *, refused: bool) -> None:
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
        self.watch.answered(door.name, vended.ticket.reveal(), single_use=door.single_use)
        if text is not None and not refused and not door.single_use and loop.time() > asked_at + 0.001:
            self.watch.late(door.name, loop.time() - asked_at)

    def _refused(self, service: TicketService, door: Door, code: Code, text: str | None) -> None:
        if text is None and service.page.held:
            text = service.page.held[0].ticket.reveal()
        least = min(door.min_validity_seconds, 0.1 * self.script.household.ticket_seconds)
        if door.single_use and code is Code.STATE_UNAVAILABLE and self.disk.refuses is not None:
            text = None  # it could not be written down: rightly not given away
        self.watch.refused(door.name, code, text, least)

    # the weather

    def _begin(self, happening: Happening) -> None:
        if self._asleep and KINDS[happening.kind].process:
            return  # a machine that sleeps neither crashes nor falls asleep
        self.watch.note(f"weather: {happening.says()}")
        self.sky.active.append(happening)
        begin = getattr(self, f"_begin_{happening.kind}", None)
        if begin is not None:
            begin(happening)
        if happening.lasts_seconds > 0 and happening.kind != "suspend":
            self.clock.at(happening.ends_seconds, lambda: self._end(happening))
        else:
            self._end(happening)
        self._stir()

    def _end(self, happening: Happening) -> None:
        if happening not in self.sky.active:
            return
        self.sky.active.remove(happening)
        if happening.lasts_seconds > 0:
            self.watch.note(f"weather: over: {happening.kind}")
        end = getattr(self, f"_end_{happening.kind}", None)
        if end is not None:
            end(happening)
        self._stir()

    def _stir(self) -> None:
        if self.process is not None:
            self.process.stir()

    def _begin_revoked(self, _: Happening) -> None:
        self.cloud.revoke()

    def _end_quota_gone(self, _: Happening) -> None:
        self.cloud.counted.clear()  # as it told: the quota is whole again

    def _end_secret_expired(self, _: Happening) -> None:
        self._renew_settings()

    def _end_key_refused(self, _: Happening) -> None:
        self._renew_settings()

    def _renew_settings(self) -> None:
        """The operator puts a new secret into the file and reloads."""
        self._settings += 1
        account = self._config.accounts[ACCOUNT]
        key = SecretReference("env", "KEY", Secret(f"key-{self._settings}"))
        accounts = {ACCOUNT: replace(account, api=replace(account.api, subscription_key=key))}
        self._config = replace(self._config, accounts=accounts)
        self._reload()

    def _begin_reload(self, _: Happening) -> None:
        self._reload()

    def _reload(self) -> None:
        self.watch.forgive()
        if self.process is not None:
            self.process.reload(self._config)

    def _begin_suspend(self, happening: Happening) -> None:
        if not self._powered:
            return
        self._down_from = self.clock.elapsed
        self._asleep = True
        self.clock.suspend(happening.lasts_seconds)
        self._asleep = False
        self.watch.excuses.up_since = self.clock.elapsed
        self._downs.append((self._down_from, self.clock.elapsed))

    _down_from = 0.0

    def _begin_clock_step(self, happening: Happening) -> None:
        self.clock.step(float(happening.values["by"]))
        if abs(self.clock.wall_error_seconds) > CERTIFICATE_SECONDS:
            self.watch.unsure.append((self.clock.elapsed, happening.ends_seconds + UPSTREAM_SECONDS))

    def _end_clock_step(self, _: Happening) -> None:
        self.clock.step(-self.clock.wall_error_seconds)

    def _begin_drift(self, happening: Happening) -> None:
        self.clock.drift_ppm = float(happening.values["ppm"])

    def _end_drift(self, _: Happening) -> None:
        self.clock.drift_ppm = 0.0
        self.clock.step(-self.clock.wall_error_seconds)

    def _begin_kill(self, _: Happening) -> None:
        self._end_process()

    def _end_kill(self, _: Happening) -> None:
        self._start_process()

    def _begin_crash(self, happening: Happening) -> None:
        self.disk.crash_after = int(happening.values.get("operations", 0))

    def _begin_power_cut(self, _: Happening) -> None:
        self._end_process()
        self.disk.power_cut()
        self._powered = False

    def _end_power_cut(self, happening: Happening) -> None:
        self._powered = True
        clock = self.clock
        if happening.values.get("rtc", True):
            clock.boot(clock.true_seconds)
        else:
            clock.boot(0.0)
            self.watch.excuses.clock = True
            self.watch.forgive()  # nobody can tell how long it was off: what waited is due
            self._unsure_since = clock.elapsed
            clock.at(clock.elapsed + float(happening.values.get("ntp_after", MINUTE)), self._ntp)
        self._start_process()

    def _ntp(self) -> None:
        """The time is told by the network."""
        if self.sky.now("outage") is not None:
            self.clock.at(self.clock.elapsed + MINUTE, self._ntp)
            return
        self.clock.step(-self.clock.wall_error_seconds)
        self.watch.unsure.append((self._unsure_since, self.clock.elapsed + UPSTREAM_SECONDS))
        self._stir()

    _unsure_since = 0.0

    def _begin_disk(self, happening: Happening) -> None:
        self.disk.refuses = ERRORS[str(happening.values.get("form", "full"))]
        self.watch.excuses.disk = True

    def _end_disk(self, _: Happening) -> None:
        self.disk.refuses = None
        self.clock.at(self.clock.elapsed + 2 * MINUTE, self._disk_recovered)

    def _disk_recovered(self) -> None:
        process = self.process
        if self._asleep or self.watch.excuses.up_since > self.clock.elapsed - MINUTE:
            self.clock.at(self.clock.elapsed + 2 * MINUTE, self._disk_recovered)
        elif process is not None and self.disk.refuses is None:
            account = process.accounts[ACCOUNT]
            if account.identity.journal.unsaved or account.book.trouble is not None:
                self.watch.violate("what could not be saved is saved when the disk recovers", ACCOUNT)
            self.watch.excuses.disk = False

    def _begin_refused(self, _: Happening) -> None:
        door = self.script.household.doors[0]
        if not door.single_use:
            self.watch.release_promise(door.name)
            self._call(door, refused=True)

    def _begin_burst(self, happening: Happening) -> None:
        for _ in range(int(happening.values.get("callers", 8))):
            self._call(self.script.household.doors[-1])


def configuration(household: Household) -> Config:
    """The household's broker.toml."""
    api = ApiConfig(
        SecretReference("env", "KEY", Secret("key-0")),
        daily_quota=household.daily_quota,
        quota_reserve=household.quota_reserve,
    )
    window = household.sliding_window_seconds if household.window_configured else None
    account = AccountConfig(
        name=ACCOUNT,
        provider="partner",
        authority="https://cloud.test",
        client_id="app",
        api=api,
        oauth=OAuthConfig(sliding_window_seconds=window),
    )
    tickets = {
        door.name: TicketConfig(
            name=door.name,
            account=ACCOUNT,
            plant_id=PLANT_ID,
            device_id=door.name,
            warm=door.warm,  # type: ignore[arg-type]
            single_use=door.single_use,
            pool=door.pool,
            min_validity_seconds=door.min_validity_seconds,
            assumed_lifetime_seconds=household.ticket_seconds,
        )
        for door in household.doors
    }
    return Config(
        file=Path("/drill/broker.toml"),
        socket=SocketConfig(Path("/drill/broker.sock")),
        state=StateConfig(Path("/state")),
        accounts={ACCOUNT: account},
        tickets=tickets,
    )


__all__ = ["HOUR", "Seen", "World", "play"]
