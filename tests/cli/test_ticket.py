"""`ticket` and `id-token`: what is printed, and how each problem ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.cli import exit_codes
from broker.errors import Code
from tests.client.documents import id_token, ticket

if TYPE_CHECKING:
    from tests.cli.conftest import Command
    from tests.client.fake_daemon import FakeDaemon

PATH = "/v1/tickets/front-door"


def test_a_ticket_is_all_that_is_printed(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", PATH, ticket())
    assert command("ticket", "front-door") == 0
    assert (command.out, command.err) == ("eyJ.secret.ticket\n", "")


def test_a_format_is_filled_in(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", PATH, ticket())
    assert command("ticket", "front-door", "--format", "T={ticket} until {expires_at}") == 0
    assert command.out == "T=eyJ.secret.ticket until 1800000300\n"


@pytest.mark.parametrize("form", ["{tiket}", "{ticket", "{}", "{ticket.x}", "{generation[0]}"])
def test_a_format_that_cannot_be_filled_in_asks_for_no_ticket(command: Command, daemon: FakeDaemon, form: str) -> None:
    assert command("ticket", "front-door", "--format", form) == 2
    assert command.err.startswith("error: --format ")
    assert "hint: the fields are device_id, " in command.err
    assert daemon.requests == []


def test_json_is_the_whole_document(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", f"{PATH}?min_validity=60&wait=10", ticket(new_field=1))
    assert command("ticket", "front-door", "--min-validity", "60", "--wait", "10", "--json") == 0
    assert json.loads(command.out) == ticket(new_field=1)


def test_an_id_token_is_all_that_is_printed(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/accounts/home/id-token", id_token())
    assert command("id-token", "home") == 0
    assert command.out == "eyJ.secret.id\n"


CODES = [
    ("bad_request", 2),
    ("not_allowed", 6),
    ("unknown_ticket", 2),
    ("unknown_account", 2),
    ("login_required", 4),
    ("config_error", 2),
    ("quota_exhausted", 5),
    ("rate_limited", 5),
    ("gateway_offline", 5),
    ("user_action_required", 5),
    ("upstream_unavailable", 5),
    ("invalid_response", 5),
    ("short_validity", 7),
    ("clock_unsynchronized", 5),
    ("state_unavailable", 5),
    ("shutting_down", 3),
    ("internal_error", 1),
    ("a_code_of_tomorrow", 5),
]


@pytest.mark.parametrize(("code", "expected"), CODES)
def test_every_problem_has_its_exit_code(command: Command, daemon: FakeDaemon, code: str, expected: int) -> None:
    daemon.problem("GET", PATH, code, "retry", 503, retry_after=9)
    assert command("ticket", "front-door") == expected
    assert command.out == ""
    assert command.err.startswith(f"error: it is {code}\n")


def test_the_table_has_exactly_the_codes_of_the_broker() -> None:
    assert set(exit_codes.OF_CODE) == {code.value for code in Code}
    assert dict(CODES[:-1]) == exit_codes.OF_CODE


@pytest.mark.parametrize(
    ("problem", "tick", "expected"),
    [
        (("upstream_unavailable", "retry"), 10, 8),
        (("upstream_unavailable", "retry"), 2, 5),
        (("login_required", "login"), 10, 4),
        (("config_error", "fix"), 10, 2),
        (("user_action_required", "fix"), 10, 5),
        (("short_validity", "retry"), 10, 7),
        (("shutting_down", "retry"), 10, 3),
    ],
)
def test_a_wait_that_ran_out_is_told_from_a_cause_that_ended_it(
    command: Command, daemon: FakeDaemon, problem: tuple[str, str], tick: float, expected: int
) -> None:
    daemon.problem("GET", f"{PATH}?wait=10", *problem, 503)
    command.terminal.tick = tick
    assert command("ticket", "front-door", "--wait", "10") == expected


def test_a_login_that_is_missing_is_hinted_at(command: Command, daemon: FakeDaemon) -> None:
    daemon.problem("GET", PATH, "login_required", "login", 503)
    command("ticket", "front-door")
    assert command.err == "error: it is login_required\nhint: log in: eliot-broker login ACCOUNT\n"


def test_the_brokers_own_hint_wins(command: Command, daemon: FakeDaemon) -> None:
    daemon.problem("GET", PATH, "not_allowed", "fix", 403, hint="add yourself")
    command("ticket", "front-door")
    assert command.err.endswith("hint: add yourself\n")


def test_without_a_daemon_the_exit_code_is_3(command: Command) -> None:
    assert command("ticket", "front-door") == 3
    assert "error: there is no broker's socket at " in command.err
