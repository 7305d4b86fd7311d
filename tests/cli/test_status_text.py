"""What the screen of `status` says of a quota and of a runway."""

from __future__ import annotations

from typing import Any

import pytest

from broker.cli.status_text import account_lines, render, runway, wrapped
from broker.core.words import counted

NOW = 1_800_000_000.0
LOGIN = {
    "subject": "account home",
    "code": "login_required",
    "remedy": "login",
    "detail": "account home: not logged in",
    "hint": "run: eliot-broker login home",
}


def screen(**document: Any) -> list[str]:
    """What `status` shows of this document, line by line."""
    return render(document, NOW).splitlines()


def doors(number: int, state: str) -> list[dict[str, Any]]:
    """So many tickets in this state."""
    return [{"name": f"{state}-{each}", "state": state, "code": "quota_exhausted"} for each in range(number)]


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


def test_the_same_trouble_of_many_is_told_once_with_all_their_names() -> None:
    tickets = [{**LOGIN, "subject": f"ticket door-{number}"} for number in range(11)]
    lines = screen(problems=[LOGIN, *tickets])
    assert lines[2:6] == [
        "problems",
        "  account home: not logged in [login_required, remedy: login]",
        f"    concerns: account home; tickets {', '.join(f'door-{number}' for number in range(8))} and 3 more",
        "    hint: run: eliot-broker login home",
    ]


def test_another_hint_is_another_trouble() -> None:
    lines = screen(problems=[LOGIN, {**LOGIN, "subject": "account cabin", "hint": "run: eliot-broker login cabin"}])
    assert sum(line.endswith("remedy: login]") for line in lines) == 2


@pytest.mark.parametrize(
    ("since", "count", "said"),
    [
        (None, None, "]"),
        (NOW - 59, None, "]"),
        (NOW - 7200, None, "; for 2 h]"),
        (NOW - 7200, 5, "; 5 times in 2 h]"),
        (NOW - 5, 2, "; 2 times]"),
        (NOW - 7200, 1, "; for 2 h]"),
    ],
)
def test_a_problem_says_how_often_and_for_how_long(since: float | None, count: int | None, said: str) -> None:
    line = screen(problems=[{**LOGIN, "since": since, "count": count}])[3]
    assert line == f"  account home: not logged in [login_required, remedy: login{said}"


def test_of_many_tickets_those_come_first_that_cannot_be_had_and_the_rest_is_counted() -> None:
    lines = screen(tickets=[*doors(18, "fresh"), *doors(2, "unavailable")])
    shown = lines[lines.index("tickets") + 1 :]
    assert shown[0].startswith("  unavailable-0: unavailable: quota_exhausted")
    assert len(shown) == 13
    assert shown[-1] == "  and 8 fresh more; all of them: eliot-broker status --json"


def test_without_accounts_and_tickets_it_says_so() -> None:
    assert screen()[2:] == ["accounts", "  none is configured", "", "tickets", "  none is configured"]


def test_a_narrow_screen_breaks_between_words_and_leaves_a_command_whole() -> None:
    text = "problems\n  the login has ended\n    hint: run: eliot-broker login home"
    assert wrapped(text, 16).splitlines() == [
        "problems",
        "  the login has",
        "    ended",
        "    hint: run: eliot-broker login home",
    ]
