"""What time it is, as far as anybody can be believed: the one place where clocks are weighed.

Knows the Clock port only. Within a boot the boot clock decides; across boots the cloud's Date, else a wall clock that
is not behind what was seen before. A machine that was paused (a virtual one, restored) did not count meanwhile: the
wall clock's leap and the cloud's Date together tell so, and what follows counts as another boot. The one invariant: a
time that cannot be believed is None, never a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.instant import Instant

if TYPE_CHECKING:
    from broker.core.instant import Reading
    from broker.ports import Clock, Events

BUILT_SECONDS = 1_790_000_000.0  # this program did not exist before September 2026
BEHIND_SECONDS = 60.0  # a wall clock may be that much behind the last saved state and still be believed
SKEW_TOLD_SECONDS = 60.0
STEP_TOLD_SECONDS = 10.0
LEAP_SECONDS = 60.0  # a wall clock that goes ahead by more may mean that the machine was paused
PAUSE = "/"  # in a boot id before the number of pauses that were found out; the kernel's is hex and hyphens
PLAUSIBLE_SECONDS = 20 * 365 * 86_400.0


class Timekeeper:
    """Weighs the machine's clocks against the cloud's and tells the present Instant."""

    def __init__(self, clock: Clock, events: Events) -> None:
        self._clock = clock
        self._events = events
        self._floor_seconds = BUILT_SECONDS
        self._cloud_offset: float | None = None
        self._wall_offset: float | None = None
        self._pauses = 0
        self._leapt: float | None = None  # when, on the boot clock; until the cloud tells the time
        self.upsets = 0
        self._skew_told = False
        self._unsynchronized_told = False

    def now(self) -> Instant:
        """The present moment; `true_seconds` None while no clock can be believed."""
        reading = self._clock.read()
        return Instant(self._boot_id(reading), reading.boot_seconds, self._believed(reading))

    def wall_seconds(self) -> float:
        """Unix time as the machine has it, for display."""
        return self._clock.read().wall_seconds

    @property
    def synchronized(self) -> bool:
        """Whether some clock can be believed."""
        return self.now().true_seconds is not None

    @property
    def skew_seconds(self) -> float | None:
        """How far the wall clock is ahead of the cloud's; None while the cloud has told nothing."""
        if self._cloud_offset is None:
            return None
        reading = self._clock.read()
        return reading.wall_seconds - reading.boot_seconds - self._cloud_offset

    def learn(self, saved: Instant) -> None:
        """The state was written at this moment, so it cannot be earlier now; an absurd one is not learnt."""
        if saved.true_seconds is not None and saved.true_seconds < BUILT_SECONDS + PLAUSIBLE_SECONDS:
            self._floor_seconds = max(self._floor_seconds, saved.true_seconds)
        boot_id, _, pauses = saved.boot_id.partition(PAUSE)
        if boot_id == self._clock.read().boot_id and pauses.isdigit():  # an earlier process of this boot found out
            self._pauses = max(self._pauses, int(pauses))

    def hear(self, server_seconds: float | None) -> None:
        """The cloud's Date in an authentic answer received just now (Unix seconds, resolution one second).

        Called from worker threads too: what it means is told by the next `watch`.
        """
        if server_seconds is None:
            return
        offset = server_seconds - self._clock.read().boot_seconds
        leap = 0.0 if self._cloud_offset is None else offset - self._cloud_offset
        if self._leapt is not None and leap > LEAP_SECONDS:
            self._pauses += 1
            self.upsets += 1
        self._cloud_offset, self._leapt = offset, None

    def in_doubt(self, since: Instant) -> bool:
        """Whether a life that began then may have ended unnoticed, and the cloud has not told the time yet.

        So it is after another boot, and after the wall clock leapt ahead: the machine may have been off, or paused.
        """
        if since.boot_id != self._boot_id(self._clock.read()):
            return self._cloud_offset is None
        return self._leapt is not None and since.boot_seconds < self._leapt

    def watch(self) -> None:
        """Notice a stepped or skewed wall clock, and one that cannot be believed; each is told once. In the loop."""
        reading = self._clock.read()
        offset = reading.wall_seconds - reading.boot_seconds
        step = 0.0 if self._wall_offset is None else offset - self._wall_offset
        self._wall_offset = offset
        if step > LEAP_SECONDS:
            self._leapt = reading.boot_seconds
            self.upsets += 1
        if abs(step) > STEP_TOLD_SECONDS:
            self._events.emit("clock.stepped", step_seconds=round(step))
        self._tell_skew()
        self._tell_belief(reading)

    def _tell_skew(self) -> None:
        skew = self.skew_seconds or 0.0
        if abs(skew) > SKEW_TOLD_SECONDS and not self._skew_told:
            self._events.emit("clock.skewed", skew_seconds=round(skew))
        self._skew_told = abs(skew) > SKEW_TOLD_SECONDS

    def _tell_belief(self, reading: Reading) -> None:
        unsynchronized = self._believed(reading) is None
        if unsynchronized != self._unsynchronized_told:
            event = "clock.unsynchronized" if unsynchronized else "clock.synchronized"
            self._events.emit(event, wall_seconds=round(reading.wall_seconds))
        self._unsynchronized_told = unsynchronized

    def _boot_id(self, reading: Reading) -> str:
        return f"{reading.boot_id}{PAUSE}{self._pauses}" if self._pauses else reading.boot_id

    def _believed(self, reading: Reading) -> float | None:
        if self._cloud_offset is not None:
            return reading.boot_seconds + self._cloud_offset
        floor = self._floor_seconds
        plausible = floor - BEHIND_SECONDS <= reading.wall_seconds <= floor + PLAUSIBLE_SECONDS
        return reading.wall_seconds if plausible else None
