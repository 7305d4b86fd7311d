"""Tickets kept warm always: calls made against calls planned, for lives of 30 s to 24 h: the first table."""

from __future__ import annotations

import random
from dataclasses import dataclass

from broker.drill.virtual import VirtualClock, run_virtual
from tests.benchmarks.planning.household import FIRST_DAY
from tests.benchmarks.planning.world import CountingIssuer, World, a_door

HOUR = 3600.0
DAY = 86_400.0
ALLOWED = 1.05
REQUESTS = 2000


@dataclass(frozen=True, slots=True)
class Case:
    """`doors` tickets of one life, under a quota (0: none), for so long."""

    life_seconds: float
    period_seconds: float
    doors: int = 1
    quota: int = 0


CASES = (
    Case(30.0, 6 * HOUR),
    Case(60.0, 12 * HOUR),
    Case(300.0, 4 * DAY),
    Case(300.0, 4 * DAY, doors=2),
    Case(300.0, 4 * DAY, doors=2, quota=800),  # room for a margin between the least and a third
    Case(300.0, 4 * DAY, doors=1, quota=450),  # likewise
    Case(900.0, 8 * DAY),
    Case(HOUR, 30 * DAY),
    Case(6 * HOUR, 90 * DAY),
    Case(DAY, 365 * DAY),
)
SHORT = (Case(30.0, HOUR), Case(300.0, DAY, doors=2, quota=800), Case(DAY, 60 * DAY))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case; `bound` is 1.05 x the sum of period / (life - planned margin)."""

    case: Case
    margin_seconds: float
    calls: int
    planned: float
    requests: int
    misses: int

    @property
    def bound(self) -> float:
        """The most calls that may be made."""
        return ALLOWED * self.planned


def simulate(case: Case, seed: int = 1) -> Outcome:
    """Live through a case; requests come at random moments."""
    dice = random.Random(seed)
    clock = VirtualClock(FIRST_DAY)
    issuer = CountingIssuer(clock, case.life_seconds, case.quota)

    async def main() -> tuple[World, float]:
        world = World(
            clock,
            issuer,
            [a_door(f"door-{number}", "always") for number in range(case.doors)],
            daily_quota=case.quota,
            quota_reserve=50 if case.quota else 0,
        )
        await world.open()
        warm_from = clock.true_seconds + 30.0
        times = sorted(warm_from + dice.random() * (case.period_seconds - 30.0) for _ in range(REQUESTS))
        for at in times:
            await world.until(at)
            await world.ask(dice.randrange(case.doors))
        await world.until(FIRST_DAY + case.period_seconds)
        need = world.door(0).need
        assert need is not None
        margin = world.account.planner.margin_seconds(need, adaptive=False)
        await world.close()
        return world, margin

    world, margin = run_virtual(main(), clock)
    planned = case.doors * case.period_seconds / (case.life_seconds - margin)
    return Outcome(case, margin, issuer.calls, planned, world.tally.requests, world.tally.requests - world.tally.hits)
