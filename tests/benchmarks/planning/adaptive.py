"""Adaptive tickets against planners that know more or care less, under one quota: the second table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.core.demand import DAY_HOURS, HOUR_SECONDS, following_rate
from broker.core.freshness import draw
from broker.drill.virtual import VirtualClock, run_virtual
from broker.services.planner import Planner
from tests.benchmarks.planning.household import DAY, FIRST_DAY, Household, Request
from tests.benchmarks.planning.world import CountingIssuer, World, a_door

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.core.demand import Demand
    from broker.core.hours import Bids
    from broker.core.instant import Instant
    from broker.core.plan import Need
    from broker.services.book import Book

QUOTA = 500
LIFE_SECONDS = 300.0
DOORS = ("front-door", "back-door")


@dataclass(frozen=True, slots=True)
class Result:
    """One policy over one household; `most` is the fullest 24 hours."""

    policy: str
    seed: int
    days: int
    requests: int
    hit_percent: float
    calls_a_day: float
    most: int
    refused: int
    failed: int


class KnowsTheRates(Planner):
    """The same planner with the household's true rates in the place of what was learnt. Bursts it must see, too."""

    def __init__(self, book: Book, household: Household) -> None:
        super().__init__(book)
        self._household = household
        self._next = 0

    def bid(self, bids: Bids, demand: Demand | None, need: Need, now: Instant) -> None:  # noqa: ARG002 - knows better
        assert now.true_seconds is not None
        door, self._next = self._next, (self._next + 1) % len(DOORS)
        interval = self._interval(need)
        start = now.true_seconds // HOUR_SECONDS * HOUR_SECONDS
        rates = [self._household.rate_at(start + hour * HOUR_SECONDS, door) for hour in range(DAY_HOURS)]
        first_part = 1 - (now.true_seconds - start) / HOUR_SECONDS
        bids.add([rate * interval / HOUR_SECONDS for rate in rates], HOUR_SECONDS / interval, first_part)

    def wants_warm(self, name: str, demand: Demand | None, need: Need, now: Instant) -> bool:
        assert now.true_seconds is not None
        rate = self._household.rate_at(now.true_seconds, DOORS.index(name)) / HOUR_SECONDS
        if demand is not None:
            rate += following_rate(demand, now.true_seconds)
        hour = int(now.true_seconds // HOUR_SECONDS)
        return self.grant.includes(max(0, hour - self._first_hour), rate * self._interval(need), draw(name, hour))


def simulate(policy: str, warm: str, household: Household, planner: Callable[[Book], Planner] | None = None) -> Result:
    """One policy's real services over one household."""
    clock = VirtualClock(FIRST_DAY)
    issuer = CountingIssuer(clock, LIFE_SECONDS, QUOTA)
    requests = household.requests()

    async def main() -> World:
        world = World(clock, issuer, [a_door(name, warm) for name in DOORS], planner=planner, daily_quota=QUOTA)
        await world.open()
        await world.live(requests)
        await world.until(FIRST_DAY + household.days * DAY)
        await world.close()
        return world

    world = run_virtual(main(), clock)
    calls = issuer.calls / household.days
    tally = world.tally
    return Result(
        policy,
        household.seed,
        household.days,
        tally.requests,
        tally.rate,
        calls,
        issuer.most,
        issuer.refused,
        tally.failed,
    )


def knows_the_future(household: Household) -> Result:
    """Fetches a moment before each request that would find nothing: the fewest calls that serve everybody."""
    usable = LIFE_SECONDS * 0.9
    covered, times = [0.0] * len(DOORS), []
    requests: list[Request] = household.requests()
    for request in requests:
        if request.at >= covered[request.door]:
            covered[request.door] = request.at + usable
            times.append(request.at)
    most = max((sum(1 for other in times if at <= other < at + DAY) for at in times), default=0)
    percent = 100.0 if most <= QUOTA else 0.0
    return Result(
        "knows the future",
        household.seed,
        household.days,
        len(requests),
        percent,
        len(times) / household.days,
        most,
        0,
        0,
    )


POLICIES: dict[str, Callable[[Household], Result]] = {
    "on-demand": lambda household: simulate("on-demand", "on-demand", household),
    "fixed interval": lambda household: simulate("fixed interval", "always", household),
    "adaptive": lambda household: simulate("adaptive", "adaptive", household),
    "knows the rates": lambda household: simulate(
        "knows the rates", "adaptive", household, lambda book: KnowsTheRates(book, household)
    ),
    "knows the future": knows_the_future,
}
