from __future__ import annotations

import asyncio

import pytest

from broker.drill.steps import Died, StepWorker
from broker.drill.virtual import Deadlock, InlineWorker, VirtualClock, pass_seconds, run_virtual
from broker.drill.world_clock import WorldClock


def test_a_year_passes_at_once_and_in_order() -> None:
    clock = VirtualClock()
    start = clock.true_seconds
    seen: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await pass_seconds(seconds)
        seen.append((name, round(clock.true_seconds - start)))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sleeper("year", 365 * 86_400.0))
            group.create_task(sleeper("minute", 60.0))

    run_virtual(main(), clock)
    assert seen == [("minute", 60), ("year", 365 * 86_400)]


def test_timeouts_count_in_virtual_time() -> None:
    clock = VirtualClock()

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300):
                await pass_seconds(301)
        return asyncio.get_running_loop().time()

    before = clock.monotonic_seconds
    assert run_virtual(main(), clock) == pytest.approx(before + 300)


def test_a_suspended_machine_moves_boot_and_wall_but_no_timer() -> None:
    clock = VirtualClock()
    before = (clock.monotonic_seconds, clock.boot_seconds, clock.wall_seconds)
    clock.suspend(100)
    assert (clock.monotonic_seconds, clock.boot_seconds, clock.wall_seconds) == (
        before[0],
        before[1] + 100,
        before[2] + 100,
    )


def test_a_clock_that_drifts_counts_too_much_on_boot_and_wall_and_moves_no_timer() -> None:
    clock = WorldClock()
    clock.drift_ppm = 200.0
    before = (clock.monotonic_seconds, clock.boot_seconds, clock.elapsed)
    clock.advance(10_000.0)
    assert (clock.monotonic_seconds - before[0], clock.elapsed - before[2]) == (10_000.0, 10_000.0)
    assert clock.boot_seconds - before[1] == pytest.approx(10_002.0)
    assert clock.wall_error_seconds == pytest.approx(2.0)


def test_what_is_set_for_a_moment_happens_then_though_the_machine_sleeps() -> None:
    clock, seen = WorldClock(), list[float]()
    clock.at(50.0, lambda: seen.append(clock.elapsed))
    clock.suspend(100.0)
    assert (seen, clock.elapsed) == ([50.0], 100.0)


def test_steps_inline_are_done_before_they_are_awaited() -> None:
    async def main() -> int:
        return await InlineWorker().run(lambda: 7)

    assert run_virtual(main(), VirtualClock()) == 7


@pytest.mark.slow
def test_a_loop_in_which_nothing_can_happen_says_so() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run_virtual(main(), VirtualClock())


def test_a_step_that_was_abandoned_in_a_pause_is_not_waited_for() -> None:
    clock = VirtualClock()
    ends: list[str] = []

    async def main() -> None:
        worker = StepWorker(lambda: False, clock.advance)

        def step() -> None:
            try:
                worker.pause(20.0)
            finally:
                ends.append("ended")

        over = worker.run(step)
        await pass_seconds(1.0)
        worker.abandon()
        with pytest.raises(Died):
            await over
        await pass_seconds(60.0)

    run_virtual(main(), clock)
    assert ends == ["ended"]
