"""A value that expires: who is served at once, who waits and how long, who is told what. By hypothesis and by hand."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.failure import after
from broker.core.freshness import Windows
from broker.core.instant import Instant, Lifetime, Span
from broker.errors import (
    BrokerError,
    ClockUnsynchronized,
    KnownFailure,
    LoginRequired,
    ShortValidity,
    UpstreamUnavailable,
)
from broker.services.refreshable import Refreshable, Unchanged
from tests.services.fakes import spawn

DOWN = UpstreamUnavailable("down", service="issuer")


@dataclass(frozen=True)
class Value:
    life: Lifetime
    generation: int


class Bench:
    """A Refreshable of values that live 300 s: renewal with 100 s left, none handed out with less than 30 s."""

    what = "ticket front-door"

    def __init__(self) -> None:
        self.seconds = 0.0
        self.true: float | None = 0.0
        self.boot = "boot"
        self.attempts = 0
        self.outcomes: deque[BrokerError | float] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.ref: Refreshable[Value] = Refreshable(
            self,
            now=self.now,
            spawn=spawn,
            patience_seconds=0.05,
        )

    def windows(self, value: Value) -> Windows:  # noqa: ARG002 - the port
        return Windows(100.0, 30.0)

    def obstacle(self, now: Instant) -> BrokerError | None:  # noqa: ARG002
        return None

    def now(self) -> Instant:
        return Instant(self.boot, self.seconds, self.true)

    async def obtain(self) -> None:
        self.attempts += 1
        await self.gate.wait()
        outcome = self.outcomes.popleft() if self.outcomes else 300.0
        if isinstance(outcome, BrokerError):
            self.ref.fail(after(outcome, self.ref.failure, self.now(), runway_seconds=None, salt=""))
        else:
            self.ref.put(self.value(outcome))

    def value(self, seconds: float = 300.0) -> Value:
        return Value(Lifetime(0, int(seconds), Span(self.now(), seconds)), self.attempts)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)  # noqa: TID251  lets the loop go round


async def test_a_valid_value_is_answered_at_once_while_everything_fails() -> None:
    bench = Bench()
    held = await bench.ref.get()
    bench.seconds = 250.0
    bench.gate.clear()
    flight = bench.ref.start()
    await bench.settle()
    assert await bench.ref.get() is held
    assert bench.attempts == 2
    bench.gate.set()
    await flight


async def test_many_who_wait_share_one_flight() -> None:
    bench = Bench()
    bench.gate.clear()
    waiting = [asyncio.ensure_future(bench.ref.get(wait_seconds=5)) for _ in range(50)]  # noqa: TID251
    await bench.settle()
    bench.gate.set()
    found = await asyncio.gather(*waiting)
    assert bench.attempts == 1
    assert len({value.generation for value in found}) == 1


async def test_who_leaves_takes_nobody_along() -> None:
    bench = Bench()
    bench.gate.clear()
    leaver, stayer = (asyncio.ensure_future(bench.ref.get(wait_seconds=5)) for _ in range(2))  # noqa: TID251
    await bench.settle()
    leaver.cancel()
    await bench.settle()
    bench.gate.set()
    assert (await stayer).generation == 1
    assert bench.attempts == 1


async def test_a_known_failure_is_told_at_once_and_starts_nothing() -> None:
    bench = Bench()
    bench.outcomes.extend([DOWN] * 10)
    with pytest.raises(KnownFailure, match="down"):
        await bench.ref.get()
    for _ in range(20):
        with pytest.raises(KnownFailure):
            await bench.ref.get()
    assert bench.attempts == 1


async def test_whoever_waits_gets_the_value_that_a_later_attempt_brings() -> None:
    bench = Bench()
    bench.outcomes.append(DOWN)
    waiting = asyncio.ensure_future(bench.ref.get(wait_seconds=5))  # noqa: TID251
    await bench.settle()
    assert not waiting.done()
    bench.ref.start()  # the sweep's next attempt
    assert (await waiting).generation == 2


async def test_waiting_ends_early_for_what_a_person_must_do() -> None:
    bench = Bench()
    bench.outcomes.append(LoginRequired("not logged in"))
    with pytest.raises(KnownFailure, match="not logged in"):
        await asyncio.wait_for(bench.ref.get(wait_seconds=300), 1)


async def test_at_the_end_of_the_wait_the_underlying_cause_is_told() -> None:
    bench = Bench()
    bench.gate.clear()
    with pytest.raises(UpstreamUnavailable, match="no answer yet"):
        await bench.ref.get(wait_seconds=0.01)
    bench.gate.set()
    await bench.settle()


async def test_the_same_generation_is_unchanged_and_a_newer_one_is_waited_for() -> None:
    bench = Bench()
    held = await bench.ref.get()
    with pytest.raises(Unchanged):
        await bench.ref.get(newer_than=held.generation)
    with pytest.raises(Unchanged):
        await bench.ref.get(newer_than=held.generation, wait_seconds=0.01)
    assert bench.attempts == 1, "waiting for a newer one makes no call of its own"
    waiting = asyncio.ensure_future(bench.ref.get(newer_than=held.generation, wait_seconds=5))  # noqa: TID251
    await bench.settle()
    bench.ref.start()
    assert (await waiting).generation == 2


async def test_more_than_the_whole_life_is_refused_without_an_attempt() -> None:
    bench = Bench()
    await bench.ref.get()
    with pytest.raises(ShortValidity) as caught:
        await bench.ref.get(min_validity_seconds=301)
    assert caught.value.available_for_seconds > 0
    assert bench.attempts == 1


async def test_less_left_than_asked_brings_a_renewal() -> None:
    bench = Bench()
    await bench.ref.get()
    bench.seconds = 150.0
    assert (await bench.ref.get(min_validity_seconds=200, wait_seconds=1)).generation == 2


async def test_a_value_of_unknown_age_is_not_handed_out_and_the_clock_is_the_reason() -> None:
    bench = Bench()
    await bench.ref.get()
    bench.boot, bench.true, bench.seconds = "next", None, 5.0
    bench.gate.clear()
    with pytest.raises(ClockUnsynchronized):
        await bench.ref.get(wait_seconds=0.01)
    bench.gate.set()
    await bench.settle()


@settings(deadline=None)
@given(
    moves=st.lists(st.tuples(st.sampled_from(["get", "sweep", "fail", "well"]), st.floats(0, 400)), max_size=30),
)
def test_a_failing_renewal_never_fails_a_caller_who_could_be_served(moves: list[tuple[str, float]]) -> None:
    async def live() -> None:
        bench = Bench()
        for move, seconds in moves:
            bench.seconds += seconds
            if move == "fail":
                bench.outcomes.extend([DOWN] * 3)
            elif move == "well":
                bench.outcomes.clear()
            elif move == "sweep" and bench.ref.due_in(bench.now()) <= 0:
                await bench.ref.start()
            served = bench.ref.usable(bench.now())
            if served is not None:
                assert await bench.ref.get() is served
                left = served.life.remaining(bench.now())
                assert left is not None
                assert left > 30

    asyncio.run(live())
