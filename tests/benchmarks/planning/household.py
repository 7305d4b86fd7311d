"""Households whose door is asked for: a generator written from the issue's description, knowing no algorithm of ours.

5 to 25 requests a day, mornings and evenings, bursts, holidays. A visit (a bell, a parcel, children home from school)
begins at a rate that depends on the hour and the kind of day, and brings one request or a burst of them within
minutes. Some days the household is away. `rate_at` is the true rate of visits: what a planner may know who knows the
household by heart but not the future.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

DAY = 86_400.0
HOUR = 3600.0
FIRST_DAY = 1_795_478_400.0  # 2026-11-24 00:00 UTC, a Tuesday
FIRST_WEEKDAY = 1  # Tuesday
SATURDAY = 5

# relative rates of visits, for the hours 0 to 23
WORKDAY = (0, 0, 0, 0, 0, 1, 5, 9, 8, 4, 3, 3, 4, 3, 2, 3, 6, 9, 10, 9, 6, 4, 2, 1)
WEEKEND = (1, 0, 0, 0, 0, 0, 1, 2, 5, 8, 9, 8, 6, 4, 4, 5, 6, 7, 8, 8, 7, 5, 4, 2)
AWAY = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0)
BURST_CHANCE = 0.35
BURST_MORE = 1.5  # requests that a burst brings beyond its first, on average
BURST_GAP_SECONDS = 90.0
FRONT_DOOR_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks for the ticket of a door, 0 (the front) or 1."""

    at: float
    door: int


@dataclass(frozen=True, slots=True)
class Household:
    """One household's `days`, drawn from `seed`; seconds are Unix time from FIRST_DAY."""

    seed: int
    days: int
    visits_a_day: float = field(init=False)
    shift_hours: int = field(init=False)
    away: frozenset[int] = field(init=False)
    holidays: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        holidays = {day for day in range(self.days) if dice.random() < 0.03}
        away: set[int] = set()
        for _ in range(max(1, self.days // 45)):
            start = dice.randrange(self.days)
            away |= set(range(start, start + dice.randint(4, 10)))
        set_ = object.__setattr__
        set_(self, "visits_a_day", dice.uniform(6.0, 11.0))
        set_(self, "shift_hours", dice.choice((-1, 0, 0, 1, 2)))
        set_(self, "holidays", frozenset(holidays))
        set_(self, "away", frozenset(away))

    def rate_at(self, at: float, door: int) -> float:
        """The true rate of visits to a door, in visits an hour."""
        day, hour = int((at - FIRST_DAY) // DAY), int((at - FIRST_DAY) % DAY // HOUR)
        weekday = (FIRST_WEEKDAY + day) % 7
        shape = WEEKEND if weekday >= SATURDAY or day in self.holidays else WORKDAY
        share = FRONT_DOOR_SHARE if door == 0 else 1 - FRONT_DOOR_SHARE
        if day in self.away:
            return AWAY[hour] / sum(AWAY) * 1.0 * share
        return shape[(hour - self.shift_hours) % 24] / sum(shape) * self.visits_a_day * share

    def requests(self) -> list[Request]:
        """All requests, in order of time."""
        dice = random.Random(f"requests of {self.seed}")
        found: list[Request] = []
        for hour in range(self.days * 24):
            for door in (0, 1):
                at = FIRST_DAY + hour * HOUR
                while (at := at + dice.expovariate(max(self.rate_at(FIRST_DAY + hour * HOUR, door), 1e-9)) * HOUR) < (
                    FIRST_DAY + (hour + 1) * HOUR
                ):
                    found += self._visit(dice, at, door)
        return sorted(found, key=lambda request: request.at)

    @staticmethod
    def _visit(dice: random.Random, at: float, door: int) -> list[Request]:
        visit = [Request(at, door)]
        if dice.random() < BURST_CHANCE:
            for _ in range(1 + int(dice.expovariate(1 / BURST_MORE))):
                at += 5.0 + dice.expovariate(1 / BURST_GAP_SECONDS)
                visit.append(Request(at, door))
        return visit
