from __future__ import annotations

import json
import math
import random

from hypothesis import given
from hypothesis import strategies as st

from broker.core.demand import (
    HALF_LIFE_SECONDS,
    HOUR_SECONDS,
    MONDAY_SECONDS,
    PRIOR_RATE,
    WEEK_HOURS,
    WEEK_SECONDS,
    Demand,
    asked,
    demand_of,
    following_rate,
    forecast,
    hour_of_week,
)

MONDAY = MONDAY_SECONDS + 2969 * WEEK_SECONDS  # a Monday in November 2026
DAY = 86_400.0


def weeks_of(hours: list[int], weeks: int) -> Demand:
    """Somebody asks at these hours of every week, and once on the first Monday at midnight."""
    demand = asked(None, MONDAY)
    for week in range(weeks):
        for hour in hours:
            demand = asked(demand, MONDAY + week * WEEK_SECONDS + hour * HOUR_SECONDS + 600)
    return demand


def test_hours_are_those_of_the_week_in_utc() -> None:
    assert hour_of_week(MONDAY) == 0
    assert hour_of_week(MONDAY + 6 * DAY + 23 * HOUR_SECONDS) == WEEK_HOURS - 1


def test_before_anything_is_known_every_hour_is_alike() -> None:
    assert forecast(None, MONDAY) == [PRIOR_RATE] * 24


def test_the_hours_that_are_asked_for_stand_out_after_a_few_weeks() -> None:
    demand = weeks_of([8 + 24 * day for day in range(5)], 4)
    week = forecast(demand, MONDAY + 4 * WEEK_SECONDS, WEEK_HOURS)
    assert 0.3 < week[8] < 1.2
    assert week[3] < 0.1
    assert week[8] > 1.5 * week[8 + 5 * 24], "Saturday is not a working day"


def test_a_new_household_is_known_after_one_day_by_the_hour_of_the_day() -> None:
    demand = asked(None, MONDAY)
    demand = asked(demand, MONDAY + 18 * HOUR_SECONDS)
    tomorrow = forecast(demand, MONDAY + DAY)
    assert tomorrow[18] == max(tomorrow[2:])
    assert tomorrow[18] > 2 * tomorrow[12]


def test_a_habit_that_ended_fades() -> None:
    demand = weeks_of([20], 8)
    then = forecast(demand, MONDAY + 8 * WEEK_SECONDS, WEEK_HOURS)[20]
    later = forecast(demand, MONDAY + 8 * WEEK_SECONDS + 10 * HALF_LIFE_SECONDS, WEEK_HOURS)
    assert max(later) < then / 20


def test_a_burst_counts_as_one_episode() -> None:
    demand = asked(None, MONDAY)
    for second in range(0, 500, 10):
        demand = asked(demand, MONDAY + second)
    assert sum(demand.hours) == 1


def test_after_a_request_another_is_likely_for_a_while() -> None:
    demand = asked(None, MONDAY)
    assert following_rate(demand, MONDAY + 10) > 0
    assert following_rate(demand, MONDAY + 3600) == 0


def test_gaps_are_learnt() -> None:
    chatty, quiet = asked(None, MONDAY), asked(None, MONDAY)
    for day in range(60):
        for second in (0, 150, 300, 450):
            chatty = asked(chatty, MONDAY + day * DAY + second)
        quiet = asked(quiet, MONDAY + day * DAY)
    now = MONDAY + 59 * DAY
    assert following_rate(chatty, now + 450 + 150) > 3 * following_rate(quiet, now + 150)


def test_a_clock_that_went_back_teaches_nothing() -> None:
    demand = asked(None, MONDAY)
    assert asked(demand, MONDAY - DAY) is demand


def test_the_true_rates_are_found_in_noise() -> None:
    dice = random.Random(4)
    demand, at = asked(None, MONDAY), MONDAY
    while at < MONDAY + 12 * WEEK_SECONDS:
        at += 300
        if dice.random() < (1.0 if 17 <= at % DAY // HOUR_SECONDS <= 19 else 0.05) * 300 / HOUR_SECONDS:
            demand = asked(demand, at)
    day = forecast(demand, MONDAY + 12 * WEEK_SECONDS)
    assert 0.5 < sum(day[17:20]) / 3 < 1.3
    assert sum(day[2:15]) / 13 < 0.12


@given(st.lists(st.floats(0, 2 * WEEK_SECONDS), max_size=60), st.floats(0, 20 * WEEK_SECONDS))
def test_rates_are_finite_and_the_disk_keeps_what_was_learnt(gaps: list[float], later: float) -> None:
    at, demand = MONDAY, asked(None, MONDAY)
    for gap in gaps:
        at += gap
        demand = asked(demand, at)
    week = forecast(demand, at + later, WEEK_HOURS)
    assert all(math.isfinite(rate) and rate >= 0 for rate in week)
    assert 0 <= following_rate(demand, at + later) < 1
    text = json.dumps(demand.row())
    assert len(text) < 6000
    read = demand_of(json.loads(text))
    assert read is not None
    assert all(
        math.isclose(a, b, abs_tol=1e-3) for a, b in zip(week, forecast(read, at + later, WEEK_HOURS), strict=True)
    )


def test_what_cannot_be_understood_is_learnt_anew() -> None:
    good = asked(None, MONDAY).row()
    for broken in ({}, {**good, "hours": {"900": 1}}, {**good, "gaps": [1]}, {**good, "since": None}):
        assert demand_of(broken) is None
