"""Virtual time: a clock that a drill moves, and an event loop that leaps to the next timer instead of waiting for it.

Real services run on it unchanged: `run_virtual(coroutine, clock)` lives through years in seconds. Knows asyncio's
selector loop, no service. The one invariant: time passes only where every task waits for time.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

from broker.core.instant import Reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

T = TypeVar("T")
START_SECONDS = 1_795_003_200.0  # 2026-11-18 12:00:00 UTC, a Wednesday
THREAD_SECONDS = 3.0  # how long a loop with nothing scheduled waits for a thread, in real time
RESOLUTION_SECONDS = 1e-6


class Deadlock(RuntimeError):
    """Every task waits, and not for time: nothing can ever happen again."""


class VirtualClock:
    """ports.Clock whose time a VirtualLoop moves; `true_seconds` is the world's Unix time, which no step changes.

    `monotonic_seconds` is the loop's time: like CLOCK_MONOTONIC it stands still while the machine is suspended.
    """

    def __init__(self, start_seconds: float = START_SECONDS, *, boot_id: str = "virtual-1") -> None:
        self.boot_id = boot_id
        self.boot_seconds = 100.0
        self.wall_seconds = start_seconds
        self.true_seconds = start_seconds
        self.monotonic_seconds = 100.0
        self._reading = Reading(boot_id, self.boot_seconds, self.wall_seconds)

    def read(self) -> Reading:
        """The clocks at this moment."""
        last = self._reading  # asked many times at one moment
        same_boot = last.boot_id == self.boot_id
        if not same_boot or last.boot_seconds != self.boot_seconds or last.wall_seconds != self.wall_seconds:
            last = self._reading = Reading(self.boot_id, self.boot_seconds, self.wall_seconds)
        return last

    def advance(self, seconds: float) -> None:
        """Time passes while the machine runs."""
        self.monotonic_seconds += seconds
        self._pass(seconds)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: CLOCK_BOOTTIME and the wall clock go on, timers do not."""
        self._pass(seconds)

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall_seconds += seconds

    def reboot(self, *, off_seconds: float = 60.0, wall_seconds: float | None = None) -> None:
        """Another boot, after so long without power; `wall_seconds`: what a clock without a battery says then."""
        self.boot_id += "+"
        self.true_seconds += off_seconds
        self.wall_seconds = self.wall_seconds + off_seconds if wall_seconds is None else wall_seconds
        self.boot_seconds = 5.0

    def _pass(self, seconds: float) -> None:
        self.boot_seconds += seconds
        self.wall_seconds += seconds
        self.true_seconds += seconds


class _LeapingSelector(selectors.BaseSelector):
    """A selector that, instead of waiting for a timeout, moves the clock by it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = self._real.select(THREAD_SECONDS)
            if not ready:
                raise Deadlock("virtual time: every task waits, and none of them for time")
            return ready
        if timeout > 0:
            self._clock.advance(timeout)
        return []  # nobody but a thread reaches this loop, and a thread that ends is waited for above


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a VirtualClock. Threads' answers are seen only when no timer is left: use InlineWorker."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_LeapingSelector(clock))
        self._virtual_clock = clock
        self._clock_resolution = RESOLUTION_SECONDS

    def time(self) -> float:
        """The loop's time in seconds."""
        return self._virtual_clock.monotonic_seconds


class InlineWorker:
    """ports.Worker without threads: a step is done before anybody awaits it."""

    def run(self, step: Callable[[], T]) -> Awaitable[T]:
        """Do `step` now."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(step())
        except BaseException as error:  # noqa: BLE001 -- it belongs to whoever awaits
            future.set_exception(error)
        return future


def run_virtual(main: Coroutine[Any, Any, T], clock: VirtualClock) -> T:
    """Run `main` to its end in virtual time; what it raises is raised here. Raises: Deadlock."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main)


async def pass_seconds(seconds: float) -> None:
    """Wait so long in the running loop's time."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, lambda: None if over.done() else over.set_result(None))
    try:
        await over
    finally:
        timer.cancel()
