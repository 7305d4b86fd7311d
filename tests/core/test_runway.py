"""How long a login still lives, and the warnings before its end: 7 days, 48 hours, 12 hours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.core.freshness import DAY_SECONDS as DAY
from broker.core.instant import Instant, Span
from broker.core.runway import login_left, warning_due, warnings_in_force
from broker.core.secret import Secret
from broker.core.session import Session

START = Instant("boot", 1000.0, 1_795_003_200.0)
HOUR = 3600.0


def after(seconds: float) -> Instant:
    return Instant("boot", 1000.0 + seconds, 1_795_003_200.0 + seconds)


def session(life: float | None = 14 * DAY, token: str | None = "rt") -> Session:
    return Session(
        login_id="login",
        binding="app",
        issuer="https://issuer",
        subject="mario",
        display_name=None,
        logged_in=START,
        refresh_token=None if token is None else Secret(token),
        refresh_token_life=None if life is None else Span(START, life),
    )


LEFT = {
    "the refresh token's life": (session(), None, DAY, 13 * DAY),
    "the window, where it ends first": (session(), 2 * DAY, DAY, DAY),
    "the token, where it ends first": (session(DAY), 90 * DAY, HOUR, DAY - HOUR),
    "nobody has told": (session(None), None, DAY, None),
    "only the window is known": (session(None), 90 * DAY, DAY, 89 * DAY),
    "over": (session(HOUR), None, DAY, 0.0),
    "no refresh token": (session(token=None), 90 * DAY, 0.0, 0.0),
    "every token rejected": (replace(session(), rejected=(Secret("rt").digest,)), None, 0.0, 0.0),
}


@pytest.mark.parametrize("name", LEFT)
def test_how_long_a_login_can_still_be_refreshed(name: str) -> None:
    held, window, elapsed, left = LEFT[name]
    assert login_left(held, after(elapsed), window) == left, name


WARNINGS = {
    "a fresh login warns of nothing": (session(), None, 0.0, (), None),
    "a fortnight's token, idle for a week": (session(), None, 7 * DAY, (), "7d"),
    "said already": (session(), None, 8 * DAY, ("7d",), None),
    "two days left": (session(), None, 12.5 * DAY, ("7d",), "48h"),
    "twelve hours left": (session(), None, 13.6 * DAY, ("7d", "48h"), "12h"),
    "after a long sleep only the tightest": (session(), None, 13.6 * DAY, (), "12h"),
    "the window's end is foreseen however fresh the token": (session(), 90 * DAY, 84 * DAY, (), "7d"),
    "a token of a day is replaced long before: no warning at its birth": (session(DAY), None, 0.0, (), None),
    "a token of a day that nobody could replace": (session(DAY), None, 13 * HOUR, (), "12h"),
    "an hour's token never warns": (session(HOUR), None, 0.9 * HOUR, (), None),
    "over is over": (session(), None, 15 * DAY, (), None),
    "unknown is silent": (session(None), None, 100 * DAY, (), None),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_the_end_of_a_login_is_foreseen(name: str) -> None:
    held, window, elapsed, warned, expected = WARNINGS[name]
    refreshed = window is not None  # the token of the window's case is a fresh one
    life = Span(after(elapsed), 14 * DAY) if refreshed else held.refresh_token_life
    held = replace(held, warned=warned, refresh_token_life=life)
    found = warning_due(held, after(elapsed), window)
    assert (None if found is None else found[0]) == expected, name


def test_a_login_that_lives_longer_again_is_warned_of_anew() -> None:
    warned = replace(session(), warned=("7d", "48h"))
    assert warnings_in_force(warned, after(13 * DAY), None) == ("7d", "48h")
    renewed = replace(warned, refresh_token_life=Span(after(13 * DAY), 14 * DAY))
    assert warnings_in_force(renewed, after(13 * DAY), None) == ()


def test_a_refresh_inside_the_windows_end_repeats_no_warning() -> None:
    late = after(84 * DAY)
    renewed = replace(session(), warned=("7d",), refresh_token_life=Span(late, 14 * DAY))
    assert warnings_in_force(renewed, late, 90 * DAY) == ("7d",)
