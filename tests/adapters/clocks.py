"""A clock that a test moves by hand."""

from __future__ import annotations

from broker.core.instant import Reading

NOW = 1_795_003_200.0
"""2026-11-18 12:00:00 UTC."""


class HandClock:
    """The Clock port, standing still until told otherwise."""

    def __init__(self, wall_seconds: float = NOW) -> None:
        self.wall_seconds = wall_seconds
        self.boot_seconds = 1000.0

    def read(self) -> Reading:
        return Reading("boot", self.boot_seconds, self.wall_seconds)

    def advance(self, seconds: float) -> None:
        self.wall_seconds += seconds
        self.boot_seconds += seconds
