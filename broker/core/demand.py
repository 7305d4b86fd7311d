"""What a household's requests teach: at which hours of the week they come, and how they follow one another.

Pure, and small: 168 numbers for the hours and a dozen for the gaps, all of which fade. Hours are those of UTC: a
change to summer time is learnt like any other change. The one invariant: a rate is never negative and never infinite.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field, replace
from typing import Any

HOUR_SECONDS = 3600.0
WEEK_SECONDS = 604_800.0
WEEK_HOURS = 168
DAY_HOURS = 24
MONDAY_SECONDS = 345_600.0  # 1970-01-05, the first Monday of Unix time

HALF_LIFE_SECONDS = 5 * WEEK_SECONDS
EPISODE_SECONDS = 600.0  # a request after so long a silence begins something new
PRIOR_RATE = 0.3  # episodes an hour, before anything is known
PRIOR_HOURS = 12.0  # how many hours of observation that belief is worth
DAY_WEIGHT = 1.0  # likewise the rate of the whole week for an hour of the day, in days
CELL_WEIGHT = 4.0  # likewise the rate of an hour of the day for an hour of the week, in weeks

GAP_EDGES = (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0)  # seconds since the last request; beyond: silence
PRIOR_GAP_RATE = 1 / 900.0  # requests a second while something goes on
PRIOR_GAP_SECONDS = 1800.0
GAPS_KEPT_SECONDS = 20_000.0  # of observation in each bin; older gaps fade


@dataclass(frozen=True, slots=True)
class Demand:
    """What was learnt of one ticket's requests. Seconds are Unix time.

    `hours` are faded counts of episodes that began in each hour of the week (Monday 00:00 UTC first), as of
    `faded`; `since` is when learning began. `gaps` and `at_risk` are requests that followed another within a bin of
    GAP_EDGES, and the seconds for which that could have happened.
    """

    since: float
    faded: float
    hours: array[float] = field(default_factory=lambda: array("f", bytes(4 * WEEK_HOURS)))
    gaps: tuple[float, ...] = (0.0,) * len(GAP_EDGES)
    at_risk: tuple[float, ...] = (0.0,) * len(GAP_EDGES)
    last: float | None = None

    def row(self) -> dict[str, Any]:
        """As JSON for the disk; the reverse of `demand_of`."""
        return {
            "since": self.since,
            "faded": self.faded,
            "hours": {str(hour): round(count, 4) for hour, count in enumerate(self.hours) if count > 0},
            "gaps": [round(count, 4) for count in self.gaps],
            "at_risk": [round(seconds, 1) for seconds in self.at_risk],
            "last": self.last,
        }


def demand_of(row: dict[str, Any]) -> Demand | None:
    """What was kept on disk; None where it cannot be understood: it is learnt anew."""
    try:
        hours = array("f", bytes(4 * WEEK_HOURS))
        for hour, count in row["hours"].items():
            hours[int(hour)] = max(0.0, float(count))
        gaps = tuple(float(count) for count in row["gaps"])
        at_risk = tuple(float(seconds) for seconds in row["at_risk"])
        if len(gaps) != len(GAP_EDGES) or len(at_risk) != len(GAP_EDGES):
            return None
        last = None if row["last"] is None else float(row["last"])
        return Demand(float(row["since"]), float(row["faded"]), hours, gaps, at_risk, last)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None


def hour_of_week(true_seconds: float) -> int:
    """0 is Monday 00:00 to 01:00 UTC."""
    return int((true_seconds - MONDAY_SECONDS) // HOUR_SECONDS) % WEEK_HOURS


def asked(demand: Demand | None, true_seconds: float) -> Demand:
    """What is known once a request has come now. A clock that went back teaches nothing."""
    if demand is None:
        demand = Demand(true_seconds, true_seconds)
    if demand.last is not None and true_seconds < demand.last:
        return demand
    silent = math.inf if demand.last is None else true_seconds - demand.last
    if silent > 0:
        demand = _with_gap(demand, silent)
    if silent > EPISODE_SECONDS:
        demand = _with_episode(demand, true_seconds)
    return replace(demand, last=true_seconds)


def _with_episode(demand: Demand, true_seconds: float) -> Demand:
    fade = 0.5 ** ((true_seconds - demand.faded) / HALF_LIFE_SECONDS)
    hours = array("f", (count * fade for count in demand.hours))
    hours[hour_of_week(true_seconds)] += 1.0
    return replace(demand, hours=hours, faded=true_seconds)


def _with_gap(demand: Demand, silent: float) -> Demand:
    if demand.last is None:
        return demand
    gaps, at_risk, start = list(demand.gaps), list(demand.at_risk), 0.0
    for number, end in enumerate(GAP_EDGES):
        at_risk[number] += min(silent, end) - start
        gaps[number] += 1.0 if silent <= end else 0.0
        if at_risk[number] > GAPS_KEPT_SECONDS:
            gaps[number] *= GAPS_KEPT_SECONDS / at_risk[number]
            at_risk[number] = GAPS_KEPT_SECONDS
        if silent <= end:
            break
        start = end
    return replace(demand, gaps=tuple(gaps), at_risk=tuple(at_risk))


def following_rate(demand: Demand, true_seconds: float) -> float:
    """Requests a second to be expected now because of those that came a while ago; 0 after half an hour's silence."""
    if demand.last is None:
        return 0.0
    silent = max(0.0, true_seconds - demand.last)
    for number, end in enumerate(GAP_EDGES):
        if silent < end:
            events = demand.gaps[number] + PRIOR_GAP_RATE * PRIOR_GAP_SECONDS
            return events / (demand.at_risk[number] + PRIOR_GAP_SECONDS)
    return 0.0


def forecast(demand: Demand | None, true_seconds: float, hours: int = DAY_HOURS) -> list[float]:
    """Episodes an hour to be expected in this hour and those after it.

    An hour of the week is believed as far as it was seen; for the rest it borrows from its neighbours, from the same
    hour of all days, and these from the whole week.
    """
    if demand is None:
        return [PRIOR_RATE] * hours
    fade = 0.5 ** (max(0.0, true_seconds - demand.faded) / HALF_LIFE_SECONDS)
    age = max(0.0, true_seconds - demand.since)
    weeks = (1 - 0.5 ** (age / HALF_LIFE_SECONDS)) * HALF_LIFE_SECONDS / math.log(2) / WEEK_SECONDS
    counts = demand.hours
    overall = (fade * sum(counts) + PRIOR_RATE * PRIOR_HOURS) / (weeks * WEEK_HOURS + PRIOR_HOURS)
    daily = [sum(counts[hour::DAY_HOURS]) * fade for hour in range(DAY_HOURS)]
    first = hour_of_week(true_seconds)
    ahead = [(first + offset) % WEEK_HOURS for offset in range(hours)]
    return [_rate(counts, daily, hour, weeks=weeks, fade=fade, overall=overall) for hour in ahead]


def _rate(counts: array[float], daily: list[float], hour: int, *, weeks: float, fade: float, overall: float) -> float:
    before, after = (hour - 1) % WEEK_HOURS, (hour + 1) % WEEK_HOURS
    cell = fade * (counts[before] + 2 * counts[hour] + counts[after]) / 4
    of_day = hour % DAY_HOURS
    around = (daily[of_day - 1] + 2 * daily[of_day] + daily[(of_day + 1) % DAY_HOURS]) / 4
    usual = (around + DAY_WEIGHT * overall) / (7 * weeks + DAY_WEIGHT)
    return (cell + CELL_WEIGHT * usual) / (weeks + CELL_WEIGHT)
