"""The ticker under real clocks, and under a wall clock that steps."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import pytest
import time_machine

from broker.adapters.clock import SystemClock
from broker.adapters.ticker import SHORTEST_SECONDS, Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

TODAY = 1_795_000_000.0


class Sweeps:
    """A sweep that counts itself, returns `pause_seconds` and runs `during` in its midst."""

    def __init__(self, pause_seconds: float = 3600.0) -> None:
        self.pause_seconds = pause_seconds
        self.times: list[float] = []
        self.under_way = 0
        self.during: Callable[[], object] = lambda: None
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> float:
        self.under_way += 1
        assert self.under_way == 1
        self.times.append(asyncio.get_running_loop().time())
        self.during()
        if self.gate is not None:
            await self.gate.wait()
        self.under_way -= 1
        return self.pause_seconds


async def turns(seconds: float) -> None:
    turn = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, turn.set)
    await turn.wait()


async def ticking(sweeps: Sweeps, count: int, *, guard_seconds: float = 60.0, wakes: int = 0) -> None:
    """Run a ticker until it has swept so often, and 50 ms more; nothing may be left behind."""
    ticker = Ticker(sweeps, SystemClock(), guard_seconds=guard_seconds)
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(ticker.run())
        while not sweeps.times:
            await turns(0.01)
        for _ in range(wakes):
            ticker.wake()
        while len(sweeps.times) < count:
            await turns(0.01)
        await turns(0.05)
        task.cancel()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_it_sweeps_at_once_and_then_when_the_next_is_due() -> None:
    sweeps = Sweeps(pause_seconds=0.1)
    await ticking(sweeps, 5)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sweeps.times)]
    assert 0.09 < min(gaps) < 0.2, "never early; a busy machine may make any one of them late"


async def test_a_wall_clock_stepped_back_a_day_does_not_stop_it() -> None:
    with time_machine.travel(TODAY) as traveller:
        sweeps = Sweeps(pause_seconds=0.1)
        sweeps.during = lambda: asyncio.get_running_loop().call_later(0.05, traveller.move_to, TODAY - 86400)
        await ticking(sweeps, 4, guard_seconds=0.05)


async def test_a_wall_clock_stepped_forward_ten_years_neither_stops_nor_floods_it() -> None:
    with time_machine.travel(TODAY) as traveller:
        sweeps = Sweeps(pause_seconds=0.1)
        sweeps.during = lambda: asyncio.get_running_loop().call_later(0.05, traveller.shift, 10 * 365 * 86400)
        await ticking(sweeps, 6, guard_seconds=0.05)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sweeps.times)]
    assert min(gaps) > SHORTEST_SECONDS - 0.01


async def test_what_a_sweep_raises_ends_the_run_loudly() -> None:
    sweeps = Sweeps()
    sweeps.during = lambda: int("x")
    with pytest.raises(ValueError, match="invalid literal"):
        await Ticker(sweeps, SystemClock()).run()


async def test_many_wakes_are_one_more_sweep() -> None:
    sweeps = Sweeps()
    await ticking(sweeps, 2, wakes=10)
    assert len(sweeps.times) == 2


async def test_a_wake_during_a_sweep_is_one_more_sweep_after_it() -> None:
    sweeps = Sweeps()
    sweeps.gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, sweeps.gate.set)
    await ticking(sweeps, 2, wakes=10)
    assert len(sweeps.times) == 2


async def test_it_comes_and_goes_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await ticking(Sweeps(), 1)
    assert caplog.records == []
