"""Which hours of the next day adaptive tickets are kept warm, where the quota is too small for all of them.

Pure. Every ticket bids for every hour with its worth: the requests that one call is expected to serve. Calls go to
the highest worth first, as far as every window of the quota allows; for windows that all begin now that greedy
choice is the best one. The one invariant: what is granted keeps within every allowance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

HOURS = 24
LEAST_WORTH = 0.002  # requests a call: below, not even a quota that lies idle is spent
STEP = 1.15  # ratio of two neighbouring grades
GRADES = 48  # the highest begins at LEAST_WORTH * STEP ** 47, 1.4 requests a call
_LOG_STEP = math.log(STEP)


def grade_of(worth: float) -> int:
    """The grade of a worth, 0 to 47; -1 where it is not worth a call."""
    if worth < LEAST_WORTH:
        return -1
    return min(GRADES - 1, int(math.log(worth / LEAST_WORTH) / _LOG_STEP))


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most so many calls in the hours from `first` to `last`, both included, 0 being the present one."""

    first: int
    last: int
    calls: float


@dataclass(frozen=True, slots=True)
class Grant:
    """For each hour the grade above which everything is granted, and the part (0 to 1) of that grade that is.

    `calls` is what all of it costs; `wished` what every bid together would have cost.
    """

    cuts: tuple[tuple[int, float], ...]
    calls: float = 0.0
    wished: float = 0.0

    def includes(self, hour: int, worth: float, luck: float) -> bool:
        """Whether a ticket with this worth is kept warm in that hour; `luck` (0 to 1) decides within a grade."""
        grade = grade_of(worth)
        if grade < 0:
            return False
        cut, part = self.cuts[min(hour, len(self.cuts) - 1)]
        return grade > cut or (grade == cut and luck < part)


EVERYTHING = Grant(((-1, 0.0),) * HOURS)


@dataclass(slots=True)
class Bids:
    """What the tickets' hours would cost, by grade and hour; one more ticket costs the same however many there are."""

    costs: list[list[float]] = field(default_factory=lambda: [[0.0] * HOURS for _ in range(GRADES)])

    def add(self, worths: list[float], calls_an_hour: float, first_part: float = 1.0) -> None:
        """One ticket; `worths` for each hour from now on, of the present one only `first_part` (0 to 1) is left."""
        for hour, worth in enumerate(worths[:HOURS]):
            grade = grade_of(worth)
            if grade >= 0:
                self.costs[grade][hour] += calls_an_hour * (first_part if hour == 0 else 1.0)


def share_out(bids: Bids, allowances: list[Allowance]) -> Grant:
    """Grant the best bids within every allowance."""
    room = [allowance.calls for allowance in allowances]
    of_hour = [[n for n, a in enumerate(allowances) if a.first <= hour <= a.last] for hour in range(HOURS)]
    cuts: list[tuple[int, float] | None] = [None] * HOURS
    granted = 0.0
    for grade in range(GRADES - 1, -1, -1):
        for hour, cost in enumerate(bids.costs[grade]):
            if cost <= 0 or cuts[hour] is not None:
                continue
            free = min((room[number] for number in of_hour[hour]), default=math.inf)
            taken = min(cost, max(0.0, free))
            for number in of_hour[hour]:
                room[number] -= taken
            granted += taken
            if taken < cost:
                cuts[hour] = (grade, taken / cost)
    wished = sum(map(sum, bids.costs))
    return Grant(tuple((-1, 0.0) if cut is None else cut for cut in cuts), granted, wished)
