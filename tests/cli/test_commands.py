"""The other commands against the fake daemon."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.cli.commands import COMMANDS
from broker.core.words import duration
from tests.cli.status_document import BARE, STATUS
from tests.client.documents import ticket
from tests.client.fake_daemon import chunked

if TYPE_CHECKING:
    from tests.cli.conftest import Command
    from tests.client.fake_daemon import FakeDaemon

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "document"), [("status", STATUS), ("status-bare", BARE)])
def test_status_is_one_screen_with_problems_first(
    command: Command, daemon: FakeDaemon, name: str, document: dict[str, Any]
) -> None:
    daemon.answer("GET", "/v1/status", document)
    assert command("status") == 0
    assert command.out == (GOLDEN / f"{name}.txt").read_text()


def test_status_as_json_is_the_document(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/status", STATUS)
    assert command("status", "--json") == 0
    assert json.loads(command.out) == STATUS


def test_status_watch_survives_a_restart_of_the_daemon(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/status", BARE)
    daemon.raw("GET", "/v1/status", b"")
    daemon.answer("GET", "/v1/status", {"version": "2"})
    command.terminal.on_pause = _interrupt_at(command, 6)
    assert command("status", "--watch") == 130
    assert command.out.count("eliot-broker 2\n") == 1
    assert command.err == "error: the broker closed the connection before its answer was complete\n"


def _interrupt_at(command: Command, seconds: float) -> Any:
    def look() -> None:
        if command.terminal.seconds >= seconds:
            raise KeyboardInterrupt

    return look


def test_why_tells_ticket_and_account(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/status", STATUS)
    assert command("why", "side-door") == 0
    assert command.out == (GOLDEN / "why.txt").read_text()


def test_why_as_json_is_both_rows(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/status", STATUS)
    assert command("why", "side-door", "--json") == 0
    assert json.loads(command.out) == {"ticket": STATUS["tickets"][1], "account": STATUS["accounts"][0]}


def test_why_of_an_unknown_ticket_ends_with_2(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/status", STATUS)
    assert command("why", "nowhere") == 2


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [("refresh", "logged_in", "refreshed home: logged_in\n"), ("logout", "logged_out", "logged out of home\n")],
)
def test_an_action_on_an_account_says_what_was_done(
    command: Command, daemon: FakeDaemon, name: str, state: str, words: str
) -> None:
    daemon.answer("POST", f"/v1/accounts/home/{name}", {"name": "home", "state": state})
    assert command(name, "home", "--json") == 0
    assert json.loads(command.out)["state"] == state
    assert command.err == words


def test_watch_passes_every_line_on_as_json(command: Command, daemon: FakeDaemon) -> None:
    lines = [{"type": "ticket", **ticket()}, {"type": "heartbeat"}, {"type": "end"}]
    daemon.raw("GET", "/v1/tickets/front-door/watch", chunked(*(json.dumps(each).encode() + b"\n" for each in lines)))
    assert command("watch", "front-door", "--json") == 0
    assert [json.loads(line) for line in command.out.splitlines()] == lines


def test_watch_for_people_shows_no_secret(command: Command, daemon: FakeDaemon) -> None:
    lines = [{"type": "ticket", **ticket()}, {"type": "heartbeat"}, {"type": "unavailable", "code": None}]
    lines += [{"type": "unavailable", "code": "quota_exhausted", "detail": "used up"}, {"type": "end"}]
    daemon.raw("GET", "/v1/tickets/front-door/watch", chunked(*(json.dumps(each).encode() + b"\n" for each in lines)))
    assert command("watch", "front-door") == 0
    assert command.out.splitlines() == [
        "front-door: generation 7, valid for 240 s",
        "front-door: unavailable: nobody asked for one yet",
        "front-door: unavailable: used up",
        "front-door: the broker is stopping",
    ]


def test_wait_ends_when_the_broker_is_ready(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/readyz", {"ready": False}, 503)
    daemon.answer("GET", "/readyz", {"ready": True})
    assert command("wait") == 0
    assert (command.out, command.err, command.terminal.seconds) == ("", "", 1.0)


def test_wait_that_runs_out_tells_the_reasons(command: Command, daemon: FakeDaemon) -> None:
    rows = [
        {"name": "front-door", "ready": False, "code": "login_required", "detail": "account home: logged out"},
        {"name": "side-door", "ready": True},
        {"name": "back-door", "ready": False, "code": None},
    ]
    daemon.answer("GET", "/readyz", {"ready": False, "tickets": rows, "problem": "no clock"}, 503)
    assert command("wait", "--timeout", "3") == 8
    assert command.err == (
        "error: still not ready\n  no clock\n  front-door: account home: logged out\n  back-door: not there yet\n"
        "hint: eliot-broker status\n"
    )
    assert command.terminal.seconds == 3.0


def test_wait_for_a_daemon_that_never_comes_ends_with_3(command: Command) -> None:
    assert command("wait", "--timeout", "2") == 3


def test_wait_for_a_daemon_that_went_away_ends_with_8(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/readyz", {"ready": False}, 503)
    daemon.raw("GET", "/readyz", b"")
    assert command("wait", "--timeout", "2") == 8


def test_reload_tells_what_changed(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("POST", "/v1/reload", {"changes": ["ticket side-door: added", "log: level"]})
    assert command("reload") == 0
    assert command.out == "ticket side-door: added\nlog: level\n"


def test_a_reload_that_is_refused_tells_every_problem(command: Command, daemon: FakeDaemon) -> None:
    problems = ["broker.toml: [login] listen: no port", "broker.toml: [log] level: unknown"]
    daemon.problem("POST", "/v1/reload", "config_error", "fix", 502, problems=problems)
    assert command("reload") == 2
    assert command.err.splitlines()[1:3] == [f"  {problem}" for problem in problems]


def test_the_example_configuration_is_printed_and_read_back(command: Command) -> None:
    assert command("config", "example", "--json") == 0
    assert "accounts" in json.loads(command.out)


def test_a_configuration_that_is_not_there_ends_with_2(command: Command, tmp_path: Path) -> None:
    assert command("config", "check", "--config", str(tmp_path / "none.toml")) == 2
    assert "none.toml" in command.err


def test_a_bad_configuration_is_told_with_all_its_problems(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text("[socket]\nmood = 1\n[log]\nlevel = 3\n")
    assert command("config", "check", "--json", "--config", str(file)) == 2
    problems = json.loads(command.out)["problems"]
    assert len(problems) == 2
    assert all(problem in command.err for problem in problems)


def test_a_good_configuration_is_checked_and_shown_without_its_secrets(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(GOOD)
    command.environment["KEY"] = "canary"
    assert command("config", "check", "--config", str(file)) == 0
    assert "no problem in 1 account and 1 ticket" in command.out
    assert command("config", "show", "--config", str(file)) == 0
    assert "[accounts.home" in command.out
    assert "canary" not in command.out
    assert command.environment["KEY"] == "canary"


GOOD = """
[state]
directory = "/tmp/eliot-state"
[accounts.home]
provider = "b2c"
authority = "https://login.example/tenant/policy"
client_id = "1"
redirect_uri = "http://localhost:8400/callback"
[accounts.home.api]
subscription_key = "env:KEY"
[tickets.front-door]
account = "home"
plant_id = "7e7b1b62-0000-4000-8000-000000000001"
device_id = "2a1c90e4-0000-4000-8000-000000000002"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(command: Command, shell: str) -> None:
    assert command("completion", shell) == 0
    assert all(name in command.out for name in COMMANDS)
    assert "min-validity" in command.out


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["eliot-broker", "stat"], ["status", "state"]),
        (["eliot-broker", "ticket", "--m"], ["--min-validity"]),
        (["eliot-broker", "config", "s"], ["show"]),
        (["eliot-broker", "help", "exit"], ["exit-codes"]),
        (["eliot-broker", "--socket", "/x", "wait", "--t"], ["--timeout"]),
    ],
)
def test_bash_completes(command: Command, typed: list[str], expected: list[str]) -> None:
    command("completion", "bash")
    words = " ".join(typed)
    script = f"{command.out}\nCOMP_WORDS=({words}) COMP_CWORD={len(typed) - 1}\n_eliot_broker\necho ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (True, "unknown"),
        (-5, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_is_one_unit_rounded_down(seconds: object, words: str) -> None:
    assert duration(seconds) == words
