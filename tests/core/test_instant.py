"""Moments and lives that a wrong wall clock cannot harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.instant import Instant, Span, lifetime_at_receipt

TRUE = 1_795_003_200.0
YEAR = 365 * 86_400.0


def at(boot_seconds: float, true_seconds: float | None = TRUE, boot_id: str = "boot") -> Instant:
    return Instant(boot_id, boot_seconds, true_seconds)


@given(wall=st.floats(-YEAR, 100 * YEAR))
def test_within_a_boot_only_the_boot_clock_counts(wall: float) -> None:
    assert at(160.0, wall).since(at(100.0)) == 60.0


def test_across_boots_true_time_counts_and_without_it_nobody_can_tell() -> None:
    before = at(5000.0, TRUE)
    assert at(10.0, TRUE + 300, "next").since(before) == 300
    assert at(10.0, None, "next").since(before) is None
    assert at(10.0, TRUE, "next").since(at(5000.0, None)) is None


def test_time_never_runs_backwards() -> None:
    assert at(90.0).since(at(100.0)) == 0.0
    assert at(10.0, TRUE - YEAR, "next").since(at(100.0)) == 0.0


def test_a_span_runs_out_and_stays_out() -> None:
    span = Span(at(100.0), 60.0)
    assert span.remaining(at(100.0)) == 60.0
    assert span.remaining(at(159.0)) == 1.0
    assert span.remaining(at(161.0)) == -1.0
    assert span.remaining(at(0.0, None, "next")) is None


LIVES = {
    "the server's Date counts": (TRUE, TRUE + 3600, TRUE + 100, 3500.0),
    "a Date from before the token was made cannot be right": (TRUE, TRUE + 3600, TRUE - 9999, 3600.0),
    "without a Date the life counts from receipt": (TRUE, TRUE + 3600, None, 3600.0),
    "without anything the clock decides": (None, TRUE + 3600, None, 3000.0),
    "a Date alone will do": (None, TRUE + 3600, TRUE + 600, 3000.0),
    "an answer that came late may be over already": (TRUE, TRUE + 60, TRUE + 90, -30.0),
}


@pytest.mark.parametrize("name", LIVES)
def test_the_life_of_what_has_just_come(name: str) -> None:
    issued_at, expires_at, server, left = LIVES[name]
    now = at(100.0, TRUE + 600)
    life = lifetime_at_receipt(
        issued_at=None if issued_at is None else int(issued_at),
        expires_at=int(expires_at),
        server_seconds=server,
        now=now,
        wall_seconds=TRUE + 600,
    )
    assert life.remaining(now) == left, name
    assert life.expires_at == int(expires_at)


@given(skew=st.floats(-YEAR, 10 * YEAR))
def test_a_wrong_wall_clock_changes_no_life(skew: float) -> None:
    now = at(100.0, None)
    life = lifetime_at_receipt(
        issued_at=int(TRUE), expires_at=int(TRUE) + 300, server_seconds=TRUE, now=now, wall_seconds=TRUE + skew
    )
    assert life.remaining(now) == 300
