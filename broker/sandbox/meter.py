"""The API's counters: calls a day and calls a minute, per subscription key (a key belongs to one developer's user).

Knows no HTTP. The one invariant: a refused call is not counted, so a refusal ends when its window does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_SECONDS = 86_400
MINUTE_SECONDS = 60


EXHAUSTED = 1_000_000_000  # calls; more than anybody makes


@dataclass(slots=True)
class Window:
    """A counting window that began at its first call."""

    started_at: float
    used: int = 0

    def left_seconds(self, length_seconds: int, now: float) -> float:
        """Seconds until this window ends; not above zero when it has ended."""
        return self.started_at + length_seconds - now


@dataclass(slots=True)
class Meter:
    """Windows by subscription key."""

    days: dict[str, Window] = field(default_factory=dict)
    minutes: dict[str, Window] = field(default_factory=dict)

    def blocked_seconds(self, windows: dict[str, Window], key: str, *, limit: int, length: int, now: float) -> float:
        """Seconds for which `key` has nothing left in its window; 0: it may call. `limit` 0: only `exhaust` is one."""
        window = windows.get(key)
        if window is None or window.used < (limit or EXHAUSTED):
            return 0.0
        return max(0.0, window.left_seconds(length, now))

    def count(self, key: str, now: float) -> None:
        """One call was let through."""
        for windows, length in ((self.days, DAY_SECONDS), (self.minutes, MINUTE_SECONDS)):
            window = windows.get(key)
            if window is None or window.left_seconds(length, now) <= 0:
                window = windows[key] = Window(now)
            window.used += 1

    def exhaust(self, key: str, now: float, *, left_seconds: float) -> None:
        """Pretend that the day's quota is used up, to be replenished in `left_seconds`."""
        self.days[key] = Window(now + left_seconds - DAY_SECONDS, used=EXHAUSTED)

    def replenish(self) -> None:
        """Forget all that was counted."""
        self.days.clear()
        self.minutes.clear()
