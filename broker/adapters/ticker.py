"""What wakes the sweep: APScheduler's only fence, with a monotonic guard beside it.

One date job, in UTC, at most 30 s ahead, added anew when a sweep ends, `misfire_grace_time=None` (with the default a
job one second late is dropped for ever). The scheduler decides on the wall clock, so after a step back of a day its
job sleeps that day (seen): a timer of the loop, on the monotonic clock, then wakes the sweep in its place. The
scheduler never runs the sweep itself: it would log what the sweep raises and go on. The one invariant: one sweep at a
time, and what it raises ends `run`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.ports import Clock

LONGEST_SECONDS = 30.0
SHORTEST_SECONDS = 0.05
GUARD_SECONDS = 1.0  # how late the date job may be before the guard takes its place


class Ticker:
    """Calls `sweep`, which returns the seconds until the next one is due, at once and again and again."""

    def __init__(
        self, sweep: Callable[[], Awaitable[float]], clock: Clock, *, guard_seconds: float = GUARD_SECONDS
    ) -> None:
        self._sweep = sweep
        self._clock = clock
        self._guard_seconds = guard_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Run the sweep now, or once more after the one under way; many wakes are one. From the loop only."""
        self._woken.set()

    async def run(self) -> None:
        """Sweep until cancelled. Raises: whatever a sweep raises."""
        loop = asyncio.get_running_loop()
        scheduler = _scheduler()
        scheduler.start()
        self._woken.set()
        guard: asyncio.TimerHandle | None = None
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                if guard is not None:
                    guard.cancel()
                pause = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, await self._sweep()))
                if self._woken.is_set():  # there is no pause
                    continue
                self._schedule(scheduler, pause)
                guard = loop.call_later(pause + self._guard_seconds, self._woken.set)
        finally:
            if guard is not None:
                guard.cancel()
            scheduler.shutdown(wait=False)

    def _schedule(self, scheduler: Any, pause_seconds: float) -> None:
        at = datetime.fromtimestamp(self._clock.read().wall_seconds + pause_seconds, UTC)
        scheduler.add_job(self._due, "date", run_date=at, id="sweep", replace_existing=True, misfire_grace_time=None)

    async def _due(self) -> None:  # a plain function would be run in a thread
        self._woken.set()


def load() -> None:
    """Have APScheduler ready before a ticker runs. Blocking, for a thread: it takes 0.05 s."""
    import apscheduler.schedulers.asyncio  # noqa: F401


def _scheduler() -> Any:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    return AsyncIOScheduler(timezone=UTC)
