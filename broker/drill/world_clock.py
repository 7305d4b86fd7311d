"""The drill's time: a virtual clock that meets what is to happen on its way, and machines that sleep, drift and boot.

Knows no service and no script. The one invariant: what is set for a moment happens at that moment, whether the
machine is awake, asleep or without power; only then does time go on.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from broker.drill.virtual import START_SECONDS, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

PER_MILLION = 1e-6


class WorldClock(VirtualClock):
    """A VirtualClock with an agenda; `elapsed` are the true seconds since the beginning."""

    def __init__(self, start_seconds: float = START_SECONDS) -> None:
        super().__init__(start_seconds, boot_id="boot-1")
        self.start_seconds = start_seconds
        self.drift_ppm = 0.0
        self.boots = 1
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0

    @property
    def elapsed(self) -> float:
        """True seconds since the beginning."""
        return self.true_seconds - self.start_seconds

    @property
    def wall_error_seconds(self) -> float:
        """How wrong the wall clock is: positive when it is fast."""
        return self.wall_seconds - self.true_seconds

    def at(self, elapsed: float, callback: Callable[[], None]) -> None:
        """Let `callback` be called at this moment (seconds since the beginning); what is past is called next."""
        self._entries += 1
        heapq.heappush(self._agenda, (self.start_seconds + elapsed, self._entries, callback))

    def quiet_for(self) -> float:
        """Seconds until the next entry of the agenda."""
        return self._agenda[0][0] - self.true_seconds if self._agenda else float("inf")

    def advance(self, seconds: float) -> None:
        """Time passes while the machine runs: so long, or until the next entry, which is called."""
        if not self._agenda or self._agenda[0][0] > self.true_seconds + seconds:
            super().advance(seconds)
            return
        due, _, callback = heapq.heappop(self._agenda)
        super().advance(max(0.0, due - self.true_seconds))
        callback()

    def suspend(self, seconds: float) -> None:
        """The machine sleeps, and the world goes on."""
        until = self.true_seconds + seconds
        while self._agenda and self._agenda[0][0] <= until:
            due, _, callback = heapq.heappop(self._agenda)
            self._pass(max(0.0, due - self.true_seconds))
            callback()
        self._pass(max(0.0, until - self.true_seconds))

    def boot(self, wall_seconds: float) -> None:
        """A new boot begins now; `wall_seconds` is what the clock on the board says."""
        self.boots += 1
        self.boot_id = f"boot-{self.boots}"
        self.boot_seconds = 5.0
        self.wall_seconds = wall_seconds

    def _pass(self, seconds: float) -> None:
        local = seconds * (1.0 + self.drift_ppm * PER_MILLION)
        self.boot_seconds += local
        self.wall_seconds += local
        self.true_seconds += seconds
