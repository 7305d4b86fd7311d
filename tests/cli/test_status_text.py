"""What the screen of `status` says of a quota and of a runway."""

from __future__ import annotations

from typing import Any

import pytest

from broker.cli.status_text import account_lines, runway
from broker.core.words import counted


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({"tickets": 2520, "login": 950_400}, "if the Internet died now: tickets 42 min, login 11 d"),
        ({"tickets": 0, "login": 950_400}, "if the Internet died now: tickets 0 s, login 11 d"),
        ({"tickets": 2520, "login": 0}, "if the Internet died now: tickets 42 min"),
        ({"tickets": 2520, "login": None}, "if the Internet died now: tickets 42 min"),
        ({"tickets": 0, "login": 0}, ""),
        ({"tickets": None, "login": None}, ""),
    ],
    ids=["both", "no ticket", "the login has ended", "its end is unknown", "before the first login", "nothing"],
)
def test_the_runway_tells_no_login_where_there_is_none(left: dict[str, Any], words: str) -> None:
    assert runway({"runway": left}) == words


@pytest.mark.parametrize("limit", [500, None])
def test_while_the_cloud_has_stopped_the_calls_our_own_count_is_not_told(limit: int | None) -> None:
    quota = {"limit": limit, "used": 0, "reserve": 50, "stopped_for": 3000}
    assert account_lines({"name": "home", "quota": quota})[1:] == [
        "  quota: used up, the cloud says; no call for 50 min"
    ]


@pytest.mark.parametrize(("number", "words"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls")])
def test_a_count_and_its_noun_agree(number: int, words: str) -> None:
    assert counted(number, "call") == words
