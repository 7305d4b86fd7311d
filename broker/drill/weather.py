"""The weather of one drill: lets what the script says begin and end, on the cloud, the machine, the disk, the people.

Knows the machine and the callers, no service but through the process. The one invariant: what begins also ends, if it
lasts, and the process hears of both within 30 s.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.config import SecretReference
from broker.core.secret import Secret
from broker.drill.household import ACCOUNT
from broker.drill.script import KINDS, MINUTE, UPSTREAM_SECONDS
from broker.drill.ways import CERTIFICATE_SECONDS

if TYPE_CHECKING:
    from broker.drill.machine import Machine
    from broker.drill.people import Callers
    from broker.drill.script import Happening

LEAP_SECONDS = 59.0  # a wall clock that goes ahead by more may mean that the machine was paused
ERRORS = {"full": errno.ENOSPC, "eio": errno.EIO, "readonly": errno.EROFS}


class Weather:
    """What happens, as it happens."""

    def __init__(self, machine: Machine, callers: Callers) -> None:
        self._machine = machine
        self._callers = callers
        self._clock = machine.clock
        self._watch = machine.watch
        self._settings = 0

    def begin(self, happening: Happening) -> None:
        """It happens now."""
        if self._machine.asleep and KINDS[happening.kind].process:
            return  # a machine that sleeps neither crashes nor falls asleep
        if happening.kind == "power_cut" and not self._machine.powered:
            return  # it is dark already
        self._watch.note(f"weather: {happening.says()}")
        self._machine.sky.active.append(happening)
        begin = getattr(self, f"_begin_{happening.kind}", None)
        if begin is not None:
            begin(happening)
        if happening.lasts_seconds > 0 and happening.kind != "suspend":
            self._clock.at(happening.ends_seconds, lambda: self._end(happening))
        else:
            self._end(happening)
        self._machine.stir()

    def _end(self, happening: Happening) -> None:
        if happening not in self._machine.sky.active:
            return
        self._machine.sky.active.remove(happening)
        if happening.lasts_seconds > 0:
            self._watch.note(f"weather: over: {happening.kind}")
        end = getattr(self, f"_end_{happening.kind}", None)
        if end is not None:
            end(happening)
        self._machine.stir()

    def _begin_rolled_back(self, _: Happening) -> None:
        self._machine.cloud.roll_back()

    def _begin_revoked(self, _: Happening) -> None:
        self._machine.cloud.revoke()

    def _begin_key_roll(self, _: Happening) -> None:
        self._machine.cloud.kid += 1

    def _end_quota_gone(self, _: Happening) -> None:
        self._machine.cloud.counted.clear()  # as it told: the quota is whole again

    def _end_secret_expired(self, _: Happening) -> None:
        self._renew_settings()

    def _end_key_refused(self, _: Happening) -> None:
        self._renew_settings()

    def _renew_settings(self) -> None:
        """The operator puts a new secret into the file and reloads."""
        self._settings += 1
        account = self._machine.config.accounts[ACCOUNT]
        key = SecretReference("env", "KEY", Secret(f"key-{self._settings}"))
        accounts = {ACCOUNT: replace(account, api=replace(account.api, subscription_key=key))}
        self._machine.reload(replace(self._machine.config, accounts=accounts))

    def _begin_reload(self, _: Happening) -> None:
        self._machine.reload(self._machine.config)

    def _begin_suspend(self, happening: Happening) -> None:
        self._machine.suspend(happening.lasts_seconds)

    def _begin_clock_step(self, happening: Happening) -> None:
        self._step(float(happening.values["by"]))
        if abs(self._clock.wall_error_seconds) > CERTIFICATE_SECONDS:
            self._watch.belief.unsure.append((self._clock.elapsed, happening.ends_seconds + UPSTREAM_SECONDS))

    def _end_clock_step(self, _: Happening) -> None:
        self._step(-self._clock.wall_error_seconds)

    def _step(self, seconds: float) -> None:
        """Somebody, or the network, sets the wall clock."""
        self._clock.step(seconds)
        if seconds > LEAP_SECONDS:
            self._watch.clock_leapt()

    def _begin_drift(self, happening: Happening) -> None:
        self._clock.drift_ppm = float(happening.values["ppm"])

    def _end_drift(self, _: Happening) -> None:
        self._clock.drift_ppm = 0.0
        self._step(-self._clock.wall_error_seconds)

    def _begin_kill(self, _: Happening) -> None:
        self._machine.end_process()

    def _end_kill(self, _: Happening) -> None:
        self._machine.start_process()

    def _begin_crash(self, happening: Happening) -> None:
        self._machine.disk.crash_after = int(happening.values.get("operations", 0))

    def _begin_power_cut(self, _: Happening) -> None:
        self._machine.cut_power()

    def _end_power_cut(self, happening: Happening) -> None:
        clock = self._clock
        self._watch.clock_leapt()
        off_by = float(happening.values.get("off_by", 0.0))
        if happening.values.get("rtc", True) and off_by == 0:
            self._machine.boot(clock.true_seconds)
        else:
            self._machine.boot(clock.true_seconds + off_by if happening.values.get("rtc", True) else 0.0)
            self._watch.clock_lost()
            clock.at(clock.elapsed + float(happening.values.get("ntp_after", MINUTE)), self._ntp)
        self._machine.start_process()

    def _ntp(self) -> None:
        """The time is told by the network."""
        if self._machine.sky.now("outage") is not None:
            self._clock.at(self._clock.elapsed + MINUTE, self._ntp)
            return
        self._step(-self._clock.wall_error_seconds)
        self._watch.belief.clock_set()
        self._machine.stir()

    def _begin_disk(self, happening: Happening) -> None:
        self._machine.disk.refuses = ERRORS[str(happening.values.get("form", "full"))]
        self._watch.excuses.disk = True

    def _end_disk(self, _: Happening) -> None:
        self._machine.disk.refuses = None
        self._clock.at(self._clock.elapsed + 2 * MINUTE, self._disk_recovered)

    def _disk_recovered(self) -> None:
        process = self._machine.process
        if self._machine.asleep or self._watch.excuses.up_since > self._clock.elapsed - MINUTE:
            self._clock.at(self._clock.elapsed + 2 * MINUTE, self._disk_recovered)
        elif process is not None and self._machine.disk.refuses is None:
            account = process.accounts[ACCOUNT]
            if account.identity.journal.unsaved or account.book.trouble is not None:
                self._watch.violate("what could not be saved is saved when the disk recovers", ACCOUNT)
            self._watch.excuses.disk = False

    def _begin_refused(self, _: Happening) -> None:
        self._refuse(None)

    def _begin_hang_up(self, happening: Happening) -> None:
        self._refuse(float(happening.values.get("after", 0.2)))

    def _refuse(self, patience_seconds: float | None) -> None:
        door = self._machine.household.doors[0]
        if not door.single_use:
            self._watch.release_promise(door.name)
            self._callers.call(door, refused=True, patience_seconds=patience_seconds)

    def _begin_burst(self, happening: Happening) -> None:
        for _ in range(int(happening.values.get("callers", 8))):
            self._callers.call(self._machine.household.doors[-1])
