"""What time it is, as far as anybody can be believed: the one place where clocks are weighed.

Knows the Clock port only. Within a boot the boot clock decides; across boots the cloud's Date, else a wall clock that
is not behind what was seen before. The one invariant: a time that cannot be believed is None, never a guess.
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
PLAUSIBLE_SECONDS = 20 * 365 * 86_400.0


class Timekeeper:
    """Weighs the machine's clocks against the cloud's and tells the present Instant."""

    def __init__(self, clock: Clock, events: Events) -> None:
        self._clock = clock
        self._events = events
        self._floor_seconds = BUILT_SECONDS
        self._cloud_offset: float | None = None
        self._wall_offset: float | None = None
        self._skew_told = False
        self._unsynchronized_told = False
        self.skew_seconds: float | None = None

    def now(self) -> Instant:
        """The present moment; `true_seconds` None while no clock can be believed."""
        reading = self._clock.read()
        return Instant(reading.boot_id, reading.boot_seconds, self._believed(reading))

    def wall_seconds(self) -> float:
        """Unix time as the machine has it, for display."""
        return self._clock.read().wall_seconds

    @property
    def synchronized(self) -> bool:
        """Whether some clock can be believed."""
        return self.now().true_seconds is not None

    def learn_floor(self, true_seconds: float | None) -> None:
        """The state was written at this Unix time, so it cannot be earlier now; an absurd one is not learnt."""
        if true_seconds is not None and true_seconds < BUILT_SECONDS + PLAUSIBLE_SECONDS:
            self._floor_seconds = max(self._floor_seconds, true_seconds)

    def hear(self, server_seconds: float | None) -> None:
        """The cloud's Date in an authentic answer received just now (Unix seconds, resolution one second)."""
        if server_seconds is None:
            return
        reading = self._clock.read()
        self._cloud_offset = server_seconds - reading.boot_seconds
        self.skew_seconds = reading.wall_seconds - server_seconds
        skewed = abs(self.skew_seconds) > SKEW_TOLD_SECONDS
        if skewed and not self._skew_told:
            self._events.emit("clock.skewed", skew_seconds=round(self.skew_seconds))
        self._skew_told = skewed

    def watch(self) -> None:
        """Notice a stepped wall clock, and a clock that cannot be believed; each is told once."""
        reading = self._clock.read()
        offset = reading.wall_seconds - reading.boot_seconds
        if self._wall_offset is not None and abs(offset - self._wall_offset) > STEP_TOLD_SECONDS:
            self._events.emit("clock.stepped", step_seconds=round(offset - self._wall_offset))
            if self._cloud_offset is not None:
                self.skew_seconds = offset - self._cloud_offset
        self._wall_offset = offset
        unsynchronized = self._believed(reading) is None
        if unsynchronized and not self._unsynchronized_told:
            self._events.emit("clock.unsynchronized", wall_seconds=round(reading.wall_seconds))
        self._unsynchronized_told = unsynchronized

    def _believed(self, reading: Reading) -> float | None:
        if self._cloud_offset is not None:
            return reading.boot_seconds + self._cloud_offset
        floor = self._floor_seconds
        plausible = floor - BEHIND_SECONDS <= reading.wall_seconds <= floor + PLAUSIBLE_SECONDS
        return reading.wall_seconds if plausible else None
