"""`login`: every way it can end."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import segno

from tests.cli.conftest import NOW

if TYPE_CHECKING:
    from tests.cli.conftest import Command
    from tests.client.fake_daemon import FakeDaemon

ACCOUNT = "/v1/accounts/home"
COMPLETE = f"{ACCOUNT}/login/complete"
URL = "https://login.example/authorize?client_id=1&state=2"
REDIRECT = "http://localhost:8400/callback?code=1&state=2"
STARTED = {"authorization_url": URL, "redirect_uri": "http://localhost:8400/callback", "expires_at": int(NOW) + 600}
PENDING = {"name": "home", "state": "login_pending", "login_id": None, "login": {"pending": True}}
LOGGED_OUT = {"name": "home", "state": "logged_out", "login_id": None, "login": None}
LOGGED_IN = {"name": "home", "state": "logged_in", "login_id": "5f1c", "display_name": "Ada", "login": None}
NO_TIME = {**LOGGED_IN, "logged_in_at": None}  # no clock could be believed then


def begin(daemon: FakeDaemon, *rows: dict[str, Any], before: dict[str, Any] = LOGGED_OUT) -> None:
    daemon.answer("POST", f"{ACCOUNT}/login", STARTED, 201)
    for row in (before, *rows):
        daemon.answer("GET", ACCOUNT, row)


def test_the_url_is_alone_on_stdout_and_the_listener_completes_it_though_no_clock_tells_when(
    command: Command, daemon: FakeDaemon
) -> None:
    begin(daemon, PENDING, PENDING, LOGGED_IN)
    assert command("login", "home") == 0
    assert command.out == f"{URL}\n"
    assert command.err.endswith("logged in as Ada\n")


def test_a_login_that_was_there_before_is_no_success(command: Command, daemon: FakeDaemon) -> None:
    again = {**LOGGED_IN, "login": {"pending": True}}
    newer = {**LOGGED_IN, "login_id": "a90b"}
    begin(daemon, again, again, newer, before=LOGGED_IN)
    assert command("login", "home") == 0
    assert daemon.targets().count(f"GET {ACCOUNT}") == 4


def test_a_pasted_redirect_completes_it(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    daemon.answer("POST", COMPLETE, LOGGED_IN)
    command.type(f"\n  {REDIRECT}\n")
    assert command("login", "home", "--paste") == 0
    assert json.loads(daemon.requests[-1].body) == {"response": REDIRECT}


def test_a_last_line_without_its_newline_counts(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    daemon.answer("POST", COMPLETE, LOGGED_IN)
    command.type(REDIRECT)
    command.end_input()
    assert command("login", "home", "--paste") == 0


def test_the_end_of_input_is_an_error_with_paste(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    command.end_input()
    assert command("login", "home", "--paste") == 2
    assert "error: standard input ended without a redirect URL" in command.err


def test_the_end_of_input_is_no_error_without_paste(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING, PENDING, LOGGED_IN)
    command.end_input()
    assert command("login", "home") == 0


def test_a_bad_paste_in_a_pipe_ends_with_its_problem(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    daemon.problem("POST", COMPLETE, "bad_request", "login", 400)
    command.type("nonsense\n")
    assert command("login", "home") == 2
    assert "error: it is bad_request" in command.err


def test_a_bad_paste_on_a_terminal_is_explained_and_asked_again(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    daemon.problem("POST", COMPLETE, "bad_request", "login", 400)
    daemon.answer("POST", COMPLETE, LOGGED_IN)
    command.on_terminal(tty=True)
    command.type(f"nonsense\n{REDIRECT}\n")
    assert command("login", "home") == 0
    assert "that is not it: it is bad_request" in command.err
    assert command.err.count("or paste here") == 2


def test_another_problem_of_the_exchange_ends_it_on_a_terminal_too(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    daemon.problem("POST", COMPLETE, "upstream_unavailable", "retry", 503)
    command.on_terminal(tty=True)
    command.type(f"{REDIRECT}\n")
    assert command("login", "home") == 5


def test_a_login_that_ends_otherwise_says_why(command: Command, daemon: FakeDaemon) -> None:
    failed = {
        **LOGGED_OUT,
        "login": {"pending": False, "detail": "the person cancelled", "hint": "try again"},
        "last_failure": {"detail": "the refresh of the login before failed", "hint": "log in again"},
    }
    begin(daemon, PENDING, failed)
    assert command("login", "home") == 4
    assert command.err.endswith("error: the login to home ended: the person cancelled\nhint: try again\n")


def test_a_login_that_nobody_completes_runs_out(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING)
    command.terminal.on_pause = lambda: setattr(command.terminal, "seconds", 601.0)
    assert command("login", "home") == 4
    assert "error: the login was not completed in time" in command.err


def test_json_is_a_line_for_the_start_and_a_line_for_the_end(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING, LOGGED_IN)
    assert command("login", "home", "--json") == 0
    assert [json.loads(line) for line in command.out.splitlines()] == [STARTED, LOGGED_IN]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, None),
        ({"SSH_CONNECTION": "10.0.0.9 5000 10.0.0.5 22"}, "  ssh -L 8400:127.0.0.1:8400 10.0.0.5\n"),
        (
            {"SSH_CONNECTION": "10.0.0.9 5000 10.0.0.5 2222", "USER": "ada"},
            "  ssh -L 8400:127.0.0.1:8400 -p 2222 ada@10.0.0.5\n",
        ),
    ],
)
def test_over_ssh_the_tunnel_is_spelled_out(
    command: Command, daemon: FakeDaemon, environment: dict[str, str], line: str | None
) -> None:
    begin(daemon, PENDING, LOGGED_IN)
    command.environment.update(environment)
    assert command("login", "home") == 0
    assert line in command.err if line else "ssh" not in command.err


def test_a_terminal_shows_a_qr_code_and_the_time_left(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING, PENDING, LOGGED_IN)
    command.on_terminal(tty=True)
    assert command("login", "home") == 0
    assert "[10:00] waiting; or paste here: " in command.err
    assert "[ 9:59]" in command.err
    assert qr_of(URL) in command.err
    assert command.out == f"{URL}\n"


SHORT = "http://localhost:8400/aB3dE5fG7h1J"
LONG = f"{URL}&nonce={'n' * 300}"


def qr_of(text: str) -> str:
    drawn = io.StringIO()
    segno.make(text, error="l").terminal(out=drawn, compact=True)
    return drawn.getvalue()


@pytest.mark.parametrize(
    ("url", "screen", "shown"),
    [
        (URL, (80, 24), URL),
        (LONG, (80, 24), SHORT),
        (LONG, (200, 60), LONG),
        (LONG, (60, 100), SHORT),
        (LONG, (30, 60), None),
        (LONG, (80, 15), None),
    ],
    ids=["short URL", "long URL", "long URL, large window", "narrow", "too narrow", "too low"],
)
def test_the_qr_code_is_of_the_short_address_where_the_url_is_too_long_for_the_screen(
    command: Command, daemon: FakeDaemon, url: str, screen: tuple[int, int], shown: str | None
) -> None:
    started = {**STARTED, "authorization_url": url, "short_url": SHORT}
    daemon.answer("POST", f"{ACCOUNT}/login", started, 201)
    for row in (LOGGED_OUT, PENDING, LOGGED_IN):
        daemon.answer("GET", ACCOUNT, row)
    command.on_terminal(tty=True).screen = screen
    assert command("login", "home") == 0
    assert command.out == f"{url}\n"
    assert [text for text in (url, SHORT) if qr_of(text) in command.err] == ([shown] if shown else [])
    assert ("a larger window" in command.err) is (shown is None)
    assert f"\n  {SHORT}\n" in command.err


def test_a_pipe_gets_no_qr_code(command: Command, daemon: FakeDaemon) -> None:
    begin(daemon, PENDING, LOGGED_IN)
    assert command("login", "home") == 0
    assert not set("█▀▄") & set(command.err)
