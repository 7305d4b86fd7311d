"""When a value is renewed, and until when it is served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.freshness import (
    DAY_SECONDS,
    Freshness,
    Windows,
    draw,
    freshness,
    id_token_windows,
    ticket_windows,
    validity_in_force,
)
from broker.core.instant import Instant, Lifetime, Span

START = Instant("boot", 1000.0, 1_795_003_200.0)


def life(seconds: float) -> Lifetime:
    return Lifetime(1_795_003_200, 1_795_003_200 + int(seconds), Span(START, seconds))


def after(seconds: float) -> Instant:
    return Instant("boot", 1000.0 + seconds, None)


STATES = {0.0: "fresh", 199.0: "fresh", 200.0: "stale", 269.0: "stale", 270.0: "expired", 999.0: "expired"}


@pytest.mark.parametrize("seconds", STATES)
def test_a_value_is_fresh_then_stale_then_expired(seconds: float) -> None:
    windows = Windows(advisory_seconds=100, mandatory_seconds=30)
    assert freshness(life(300), windows, after(seconds)) is Freshness(STATES[seconds])


def test_where_no_clock_can_tell_the_freshness_is_unknown() -> None:
    assert freshness(life(300), Windows(100, 30), Instant("next", 0.0, None)) is Freshness.UNKNOWN


AGES = {
    "an hour's id token at half its life": (3600.0, 14 * DAY_SECONDS, 1800.0),
    "a refresh token that lives shorter decides": (3600.0, 1200.0, 600.0),
    "where nobody tells the refresh token's life": (3600.0, None, 1800.0),
    "a token of a month is renewed daily all the same": (30 * DAY_SECONDS, None, DAY_SECONDS),
}


@pytest.mark.parametrize("name", AGES)
def test_an_id_token_is_renewed_at_this_age(name: str) -> None:
    seconds, refresh_token, age = AGES[name]
    windows = id_token_windows(life(seconds), refresh_token_seconds=refresh_token, jitter=0.0)
    assert seconds - windows.advisory_seconds == pytest.approx(age)


@given(
    seconds=st.floats(2, 400 * DAY_SECONDS),
    refresh_token=st.one_of(st.none(), st.floats(2, 400 * DAY_SECONDS)),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_an_idle_account_refreshes_at_least_daily_and_before_either_token_ends(
    seconds: float, refresh_token: float | None, jitter: float
) -> None:
    windows = id_token_windows(life(seconds), refresh_token_seconds=refresh_token, jitter=jitter)
    age = seconds - windows.advisory_seconds
    assert 0 <= age <= DAY_SECONDS
    assert age < seconds
    assert refresh_token is None or age <= refresh_token / 2 + 1e-6
    assert windows.advisory_seconds >= windows.mandatory_seconds


@given(seconds=st.floats(1, 1e7), jitter=st.floats(0, 1, exclude_max=True), wanted=st.floats(0, 1e4))
def test_a_ticket_is_renewed_with_a_third_of_its_life_left_a_little_later_by_jitter(
    seconds: float, jitter: float, wanted: float
) -> None:
    windows = ticket_windows(life(seconds), min_validity_seconds=wanted, jitter=jitter)
    assert windows.mandatory_seconds <= seconds / 10 + 1e-9
    assert windows.mandatory_seconds <= windows.advisory_seconds <= max(seconds / 3, 1)


def test_min_validity_never_withholds_more_than_a_tenth_of_a_life() -> None:
    assert validity_in_force(300.0, 30.0) == 30.0
    assert validity_in_force(60.0, 30.0) == 6.0


@given(parts=st.lists(st.one_of(st.integers(), st.text()), max_size=4))
def test_a_draw_is_always_the_same_and_below_one(parts: list[object]) -> None:
    assert draw(*parts) == draw(*parts)
    assert 0 <= draw(*parts) < 1
