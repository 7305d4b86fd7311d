from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.freshness import validity_in_force
from broker.core.hours import GRADES, HOURS, LEAST_WORTH, Allowance, Bids, grade_of, share_out
from broker.core.plan import Need, calls_a_day, make_plan

needs = st.builds(Need, st.floats(10, DAY := 86_400.0), st.floats(0, 120), st.integers(1, 5))


def test_with_room_a_third_of_the_life_is_kept() -> None:
    plan = make_plan([Need(300, 30)], 450)
    assert plan.margin_seconds(Need(300, 30)) == pytest.approx(100)
    assert plan.needed == pytest.approx(432)
    assert plan.covered == 1


def test_two_devices_of_five_minutes_are_renewed_later_before_they_are_renewed_less() -> None:
    plan = make_plan([Need(300, 30), Need(300, 30)], 800)
    assert plan.planned == pytest.approx(800, rel=1e-3)
    assert 35 < plan.margin_seconds(Need(300, 30)) < 100


def test_too_small_a_quota_leaves_gaps_and_says_how_many() -> None:
    plan = make_plan([Need(300, 30), Need(300, 30)], 450)
    assert plan.planned == pytest.approx(450)
    assert plan.stretch > 1
    assert plan.covered == pytest.approx(450 / (2 * 86_400 / 265))


def test_without_a_limit_nothing_is_shrunk() -> None:
    assert make_plan([Need(30, 3)] * 50, None).share == 1


@given(st.lists(needs, max_size=20), st.floats(1, 1e6))
def test_no_plan_asks_for_more_than_is_allowed(wanted: list[Need], allowed: float) -> None:
    plan = make_plan(wanted, allowed)
    assert plan.planned <= allowed * (1 + 1e-9)
    made = sum(need.count * DAY / plan.interval_seconds(need) for need in wanted)
    assert made <= allowed * 1.001


@given(st.lists(needs, max_size=20), st.floats(1, 1e6))
def test_no_margin_is_below_the_validity_in_force(wanted: list[Need], allowed: float) -> None:
    plan = make_plan(wanted, allowed)
    for need in wanted:
        in_force = validity_in_force(need.life_seconds, need.min_validity_seconds)
        assert in_force < plan.margin_seconds(need) <= max(need.life_seconds / 3 + 1e-6, need.floor)


@given(st.lists(needs, min_size=1, max_size=20))
def test_a_larger_share_costs_more_calls(wanted: list[Need]) -> None:
    assert calls_a_day(wanted, 0.0) <= calls_a_day(wanted, 0.5) <= calls_a_day(wanted, 1.0)


# the hours


def test_the_best_hours_are_granted_first() -> None:
    bids = Bids()
    bids.add([0.5 if hour in {7, 19} else 0.01 for hour in range(HOURS)], 10.0)
    grant = share_out(bids, [Allowance(0, 23, 20.0)])
    warm = [hour for hour in range(HOURS) if grant.includes(hour, 0.5 if hour in {7, 19} else 0.01, 0.0)]
    assert warm == [7, 19]
    assert grant.calls == pytest.approx(20.0)


def test_an_allowance_of_the_next_hours_leaves_the_later_ones_alone() -> None:
    bids = Bids()
    bids.add([0.1] * HOURS, 10.0)
    grant = share_out(bids, [Allowance(0, 5, 0.0), Allowance(0, 23, 100.0)])
    assert [grant.includes(hour, 0.1, 0.5) for hour in range(HOURS)] == [False] * 6 + [True] * 10 + [False] * 8


def test_within_one_grade_luck_decides_in_proportion() -> None:
    bids = Bids()
    for _ in range(4):
        bids.add([0.1], 10.0)
    grant = share_out(bids, [Allowance(0, 23, 30.0)])
    assert grant.includes(0, 0.1, 0.74)
    assert not grant.includes(0, 0.1, 0.76)


def test_what_is_hardly_asked_for_is_not_worth_a_call_even_of_an_idle_quota() -> None:
    bids = Bids()
    bids.add([LEAST_WORTH / 2] * HOURS, 10.0)
    grant = share_out(bids, [])
    assert grant.calls == 0
    assert not grant.includes(3, LEAST_WORTH / 2, 0.0)
    assert grant.includes(3, LEAST_WORTH * 2, 0.0)


def test_grades_rise_with_worth() -> None:
    assert grade_of(0.0) == grade_of(LEAST_WORTH * 0.99) == -1
    assert grade_of(LEAST_WORTH) == 0
    assert grade_of(100.0) == GRADES - 1


allowances = st.builds(
    lambda first, more, calls: Allowance(first, min(23, first + more), calls),
    st.integers(0, 23),
    st.integers(0, 23),
    st.floats(-10, 400),
)


@given(
    st.lists(st.lists(st.floats(0, 2), min_size=HOURS, max_size=HOURS), max_size=6), st.lists(allowances, max_size=8)
)
def test_what_is_granted_keeps_within_every_allowance(worths: list[list[float]], limits: list[Allowance]) -> None:
    bids = Bids()
    for each in worths:
        bids.add(each, 13.0)
    grant = share_out(bids, limits)
    costs = [0.0] * HOURS
    for grade in range(GRADES):
        for hour, cost in enumerate(bids.costs[grade]):
            cut, part = grant.cuts[hour]
            costs[hour] += cost if grade > cut else cost * part if grade == cut else 0.0
    assert sum(costs) == pytest.approx(grant.calls)
    for limit in limits:
        assert sum(costs[limit.first : limit.last + 1]) <= max(0.0, limit.calls) + 1e-6
