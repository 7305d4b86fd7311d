"""What many tickets cost: our own code a renewal, memory a ticket, the longest turn that a sweep takes in the loop.

`python -m tests.benchmarks.planning.cost [TICKETS]`. The cloud answers at once, the disk is counted apart.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.adapters.collector import Collector
from broker.core.callin import IssuedTicket
from broker.core.secret import Secret
from broker.drill.virtual import VirtualClock, run_virtual
from tests.benchmarks.planning.household import FIRST_DAY
from tests.benchmarks.planning.world import CountingIssuer, NoDisk, World, a_door

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

LIFE_SECONDS = 300.0
SAVE_SECONDS = 0.1
JWT = "e" * 420
"""A ticket as long as the sandbox's, but for a number."""


class PromptIssuer(CountingIssuer):
    """Answers in the same turn of the loop."""

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:  # noqa: ARG002 - the port
        self.calls += 1
        now = int(self.clock.true_seconds)
        sender = {"addressType": "address", "system": "videoDoorEntry", "plant": {"id": plant_id}}
        return IssuedTicket(
            Secret(f"{JWT}{self.calls:08}"), sender, now, now + int(self.life_seconds), self.clock.true_seconds
        )


class TimedDisk(NoDisk):
    """Keeps nothing; `seconds` is what putting documents together took, `saves` how often."""

    def __init__(self) -> None:
        super().__init__()
        self.saves = 0
        self.content_bytes = 0

    def save(self, name: str, content: bytes) -> None:
        if name.startswith("account-"):
            super().save(name, content)
            return
        self.saves += 1
        self.content_bytes = len(content)


class LaterWorker:
    """ports.Worker: a step takes SAVE_SECONDS of virtual time; `seconds` is what it took of the processor's."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, step: Any) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def do() -> None:
            begun = time.thread_time()
            future.set_result(step())
            self.seconds += time.thread_time() - begun

        loop.call_later(SAVE_SECONDS, do)
        return future


class Stepwise:
    """Awaits `work` and times each of its turns in the loop; `longest` in seconds of the processor."""

    def __init__(self) -> None:
        self.longest = 0.0

    def watch(self, work: Coroutine[Any, Any, float]) -> _Steps:
        return _Steps(self, work)


class _Steps:
    def __init__(self, watcher: Stepwise, work: Coroutine[Any, Any, float]) -> None:
        self._watcher = watcher
        self._work = work

    def __await__(self) -> Generator[Any, Any, float]:
        steps = self._work.__await__()
        while True:
            begun = time.thread_time()
            try:
                awaited = steps.send(None)
            except StopIteration as end:
                return float(end.value)
            finally:
                self._watcher.longest = max(self._watcher.longest, time.thread_time() - begun)
            yield awaited


@dataclass(frozen=True, slots=True)
class Cost:
    """For `tickets`: seconds of our own code a renewal, saves and their seconds apart, and the longest turn."""

    tickets: int
    renewals: int
    own_seconds: float
    saves: int
    save_seconds: float
    longest_turn_seconds: float
    idle_sweep_seconds: float
    looks: int
    bytes_a_ticket: float

    @property
    def own_microseconds(self) -> float:
        """Our own code, a renewal."""
        return self.own_seconds / self.renewals * 1e6


def measure(tickets: int, *, memory: bool = True) -> Cost:
    """Fetch `tickets` tickets, then renew them all once."""
    clock = VirtualClock(FIRST_DAY)
    issuer, disk, worker = PromptIssuer(clock, LIFE_SECONDS), TimedDisk(), LaterWorker()

    async def main() -> Cost:
        doors = [a_door(f"door-{number:05}", "always") for number in range(tickets)]
        gc.collect()
        if memory:
            tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0] if memory else 0
        world = World(clock, issuer, doors, store=disk, worker=worker, daily_quota=0, quota_reserve=0)
        await world.open(sweeping=False)
        await _sweep_all(world)
        gc.collect()
        held = (tracemalloc.get_traced_memory()[0] - before) if memory else 0
        if memory:
            tracemalloc.stop()
        assert issuer.calls == tickets
        clock.advance(LIFE_SECONDS * 0.72)
        saves, save_seconds = disk.saves, worker.seconds
        begun = time.thread_time()
        longest = await _sweep_all(world)
        own = time.thread_time() - begun - (worker.seconds - save_seconds)
        renewals = issuer.calls - tickets
        assert renewals == tickets
        idle = time.thread_time()
        await world.maintenance.sweep()
        idle = time.thread_time() - idle
        await world.close()
        return Cost(
            tickets, renewals, own, disk.saves - saves, worker.seconds - save_seconds, longest, idle, world.sweeps,
            held / tickets,
        )  # fmt: skip

    collector = Collector()  # the daemon's own
    collector.settle()
    try:
        return run_virtual(main(), clock)
    finally:
        collector.give_back()


async def _sweep_all(world: World) -> float:
    """Sweep until nothing is due and nothing under way; the longest turn of a sweep."""
    due, watcher = 0.0, Stepwise()
    while due < 1 or world.flights:
        if world.take_wake() or not world.flights:
            due = await watcher.watch(world.maintenance.sweep())
        else:
            await world.woken()
    return watcher.longest


def main() -> None:
    """Print the figures for growing numbers."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print("| tickets | own code a renewal | saves | a save | longest turn of a sweep | idle sweep | memory a ticket |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for tickets in (largest // 100, largest // 10, largest):
        cost, held = measure(tickets, memory=False), measure(tickets).bytes_a_ticket
        print(
            f"| {tickets} | {cost.own_microseconds:.0f} µs | {cost.saves} "
            f"| {1000 * cost.save_seconds / max(1, cost.saves):.2f} ms | {1000 * cost.longest_turn_seconds:.1f} ms "
            f"| {1e6 * cost.idle_sweep_seconds:.0f} µs | {held:.0f} B |"
        )


if __name__ == "__main__":
    main()
