from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from broker.drill.virtual import VirtualClock, VirtualLoop, pass_seconds
from broker.errors import BrokerError, Code, StoreUnavailable
from tests.benchmarks.planning.world import NoDisk, a_door
from tests.services.lab import START, Lab, in_lab


class RefusingDisk(NoDisk):
    """A disk that may be full; `crash` after so many more saves leaves what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def save(self, name: str, content: bytes) -> None:
        if self.full:
            raise StoreUnavailable("disk full")
        super().save(name, content)


def pool(size: int = 1, warm: str = "always", **more: Any) -> Any:
    return a_door("front", warm, single_use=True, pool=size, **more)


def test_sixty_four_callers_get_sixty_four_tickets() -> None:
    async def scenario(lab: Lab) -> None:
        found = await asyncio.gather(*(lab.get(wait_seconds=300) for _ in range(64)))
        assert len({held.ticket.reveal() for held in found}) == 64

    in_lab(scenario, pool(4))


def test_as_many_as_configured_are_kept_ready() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        assert lab.calls == 3
        await lab.get()
        await pass_seconds(5)
        assert lab.calls == 4
        assert lab.status()["tickets"][0]["in_hand"] == 3
        await pass_seconds(3600)
        ready = [held for held in lab.door(0).page.held if (held.life.remaining(lab.timekeeper.now()) or 0) > 60]
        assert len(ready) == 3

    in_lab(scenario, pool(3))


def test_the_oldest_that_lives_long_enough_is_handed_out() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        await lab.get()
        await pass_seconds(120)
        await lab.get()  # the older of two; a new one is fetched
        await pass_seconds(5)
        held = await lab.get(min_validity_seconds=250)
        assert (held.life.remaining(lab.timekeeper.now()) or 0) >= 250

    in_lab(scenario, pool(2))


def test_a_refused_one_is_followed_by_another_never_by_the_same() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        first = await lab.get()
        second = await lab.door(0).renew(first.generation)
        third = await lab.get()
        assert len({held.ticket.reveal() for held in (first, second, third)}) == 3

    in_lab(scenario, pool(2))


def test_what_was_handed_out_is_off_the_disk_before_it_is_seen() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        held = await lab.get()
        assert held.ticket.reveal().encode() not in lab.store.documents["tickets-home"]

    in_lab(scenario, pool(2))


def test_on_an_unwritable_disk_nothing_is_handed_out_and_nothing_is_lost() -> None:
    store = RefusingDisk()

    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        store.full = True
        for _ in range(3):
            assert (await lab.refused()).code is Code.STATE_UNAVAILABLE
        store.full = False
        assert (await lab.get()).ticket.reveal() == "ticket 1 for front"
        assert lab.calls <= 3

    in_lab(scenario, pool(2), store=store)


def test_what_could_not_be_given_stands_again_where_it_stood() -> None:
    """Put in front of an older one that nobody may have any more, it was hidden, and a call was made in its place."""
    store = RefusingDisk()

    async def scenario(lab: Lab) -> None:
        await pass_seconds(280)
        assert [held.ticket.reveal() for held in lab.door(0).page.held] == [
            "ticket 1 for front",
            "ticket 2 for front",
        ]
        store.full = True
        assert (await lab.refused()).code is Code.STATE_UNAVAILABLE
        store.full = False
        await pass_seconds(50)
        assert lab.calls == 2
        assert (await lab.get(wait_seconds=0)).ticket.reveal() == "ticket 2 for front"

    in_lab(scenario, pool(1), store=store)


def test_a_generation_that_the_caller_knows_does_not_matter() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        known = lab.door(0).page.held[0].generation
        assert (await lab.get(newer_than=known)).generation == known

    in_lab(scenario, pool(1))


def test_a_watcher_is_told_that_there_are_some_and_sees_none() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        line = await anext(lab.desk.watch("front"))
        assert line["type"] == "ticket"
        assert "ticket 1" not in str(line)

    in_lab(scenario, pool(1))


class Crash(Exception):
    """The process is gone at this moment."""


class PoolMachine(RuleBasedStateMachine):
    """Requests, time, a full disk, and crashes before and after a save: no ticket is ever handed out twice."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock(START)
        self.loop = VirtualLoop(self.clock)
        self.store = RefusingDisk()
        self.handed: list[str] = []
        self.issued = 0

    @initialize(size=st.integers(1, 4))
    def begin(self, size: int) -> None:
        self.size = size
        self.open()

    def open(self) -> None:
        async def start() -> None:
            self.lab = Lab(self.clock, [pool(self.size)], self.store)
            self.lab.cloud.calls = self.issued  # a ticket's text is never used twice
            await self.lab.open()

        self.loop.run_until_complete(start())

    @rule(callers=st.integers(1, 6), wait=st.sampled_from([0, 1, 30]))
    def ask(self, callers: int, wait: int) -> None:
        async def one() -> None:
            try:
                held = await self.lab.get(wait_seconds=wait)
            except BrokerError:
                return
            self.handed.append(held.ticket.reveal())

        async def main() -> None:
            await asyncio.gather(*(one() for _ in range(callers)))

        self.loop.run_until_complete(main())
        assert len(set(self.handed)) == len(self.handed)

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(pass_seconds(seconds))

    @rule()
    def fill_or_free_the_disk(self) -> None:
        self.store.full = not self.store.full

    @rule(asking=st.booleans())
    def crash(self, asking: bool) -> None:
        async def main() -> None:
            if asking:  # it has not been answered: it may have been marked, or not
                doomed = asyncio.create_task(self.lab.get(wait_seconds=0))  # noqa: TID251
                await asyncio.sleep(0)  # noqa: TID251 - the first step of it
                doomed.cancel()
                await asyncio.gather(doomed, return_exceptions=True)
            await self.lab.close()

        self.loop.run_until_complete(main())
        self.issued = self.lab.cloud.calls
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.loop.run_until_complete(self.lab.close())
        self.loop.close()


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("size", [1, 3])
def test_a_restart_hands_out_what_is_left_and_nothing_twice(size: int) -> None:
    store, clock = NoDisk(), VirtualClock(START)
    seen: list[str] = []

    async def life(lab: Lab) -> None:
        lab.cloud.calls = 100 * len(seen)
        await pass_seconds(5)
        seen.append((await lab.get()).ticket.reveal())

    for _ in range(6):
        in_lab(life, pool(size), store=store, clock=clock)
    assert len(set(seen)) == len(seen)
