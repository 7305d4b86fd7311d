"""What every command says, from its help to its last word, against files that a person has read.

UPDATE_GOLDEN=1 renews them. The commands that talk to the daemon run one after the other against a real one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.cli.commands import COMMANDS, SHELLS
from broker.sandbox import CloudThread, api_fault, follow_login, token_fault
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.golden import CHAPTER, check, normalised, say

if TYPE_CHECKING:
    from broker.sandbox import Cloud

GOLDEN = Path(__file__).parent / "golden"
ALL_HELP = """
from broker.cli.commands import COMMANDS
from broker.cli.main import main
for topic in ("", *COMMANDS):
    print("==", topic or "eliot-broker", flush=True)
    main(["help", *topic.split()])
"""
CONFIGURATION = """
[state]
directory = "{directory}/state"
[accounts.home]
provider = "b2c"
authority = "https://login.example/tenant/policy"
client_id = "1"
redirect_uri = "http://localhost:8400/callback"
[accounts.home.api]
subscription_key = "file:{directory}/key"
[tickets.front-door]
account = "home"
plant_id = "7e7b1b62-0000-4000-8000-000000000001"
device_id = "2a1c90e4-0000-4000-8000-000000000002"
"""


def test_the_help_of_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALL_HELP],
        env={"PATH": os.environ["PATH"], "COLUMNS": "100"},
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
    )  # fmt: skip
    helps = dict(CHAPTER.findall(done.stdout))
    assert helps.keys() == {"eliot-broker", *COMMANDS}
    for topic, text in helps.items():
        check(GOLDEN / "help.txt", topic, text)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(shell: str) -> None:
    check(GOLDEN / "completion.txt", shell, say("completion", shell))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("canary\n")
    file = tmp_path / "broker.toml"
    file.write_text(CONFIGURATION.format(directory=tmp_path))
    return file


WITHOUT_DAEMON = [
    "version",
    "help exit-codes",
    "help nowhere",
    "config example",
    "config check",
    "config show",
    "config check --json",
    "units",
    "drill",
    "drill nowhere",
    "drill outage 10m",
    "state export home",
    "state export home FILE",
    "state import FILE",
    "state rekey",
    "status",
    "ticket front-door",
    "watch front-door",
    "serve --nonsense",
]


@pytest.mark.parametrize("line", WITHOUT_DAEMON)
def test_a_command_without_a_daemon(config: Path, line: str) -> None:
    environ = {"ELIOT_BROKER_CONFIG": str(config), "ELIOT_BROKER_PASSPHRASE": "correct horse battery"}
    words = [str(config.parent / "bundle") if word == "FILE" else word for word in line.split()]
    said = say(*words, environ=environ, socket=config.parent / "none.sock")
    said = normalised(said, DIR=config.parent, PYTHON=sys.executable, BIN=Path(sys.executable).parent, ROOT=ROOT)
    check(GOLDEN / "commands.txt", line, said)


LOGGED_IN = [
    "probe front-door",
    "ticket front-door",
    "ticket front-door --min-validity 9999",
    "id-token home",
    "refresh home",
    "doctor",
    "status",
    "why front-door",
    "wait",
    "ticket nowhere",
    "why nowhere",
]


class Session:
    """One daemon, and what is said to it in turn."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def say(self, title: str, line: str, given: str = "") -> None:
        daemon = self.daemon
        environ = {"PATH": os.environ["PATH"], "ELIOT_BROKER_CONFIG": str(daemon.config)}
        said = say(*line.split(), given=given, environ=environ, socket=daemon.socket_path)
        check(GOLDEN / "session.txt", title, normalised(said, DIR=daemon.directory))


def login(daemon: Daemon, cloud: Cloud) -> None:
    begun = daemon.client.login("home")
    daemon.client.complete_login("home", follow_login(begun["authorization_url"], cloud.ca_file))


@pytest.mark.slow
def test_a_daemon_from_its_first_status_to_its_last(tmp_path: Path) -> None:
    with CloudThread() as cloud:
        text = account(cloud, tmp_path) + ticket(more='warm = "on-demand"')
        with Daemon(tmp_path, text) as daemon:
            session = Session(daemon)
            for line in ("status", "why front-door", "doctor", "ticket front-door", "wait --timeout 0", "refresh home"):
                session.say(f"01 before the login: {line}", line)
            login(daemon, cloud)
            for line in LOGGED_IN:
                session.say(f"02 logged in: {line}", line)
            daemon.write(text + ticket("side-door", more='warm = "on-demand"'))
            session.say("03 a ticket more: reload", "reload")
            cloud.script.add("call_in", api_fault("quota"), times=1)
            for line in ("ticket side-door", "why side-door", "status", "probe side-door"):
                session.say(f"04 the quota is used up: {line}", line)
            cloud.script.add("token", token_fault("90129"), times=2)
            for line in ("refresh home", "status", "why side-door", "doctor"):
                session.say(f"05 the login has ended: {line}", line)
            daemon.write("[nonsense]\n")
            session.say("06 a mistake: reload", "reload")
            session.say("07 logout", "logout home")
            session.say("07 logout: status", "status")


@pytest.mark.slow
def test_the_index_of_a_bug_report(tmp_path: Path, config: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "ELIOT_BROKER_CONFIG": str(config)}
    said = say("bugreport", "--output", "-", environ=environ, socket=tmp_path / "none.sock")
    titles = [line for line in said.splitlines() if line.startswith(("==== ", "-- stderr", "exit "))]
    check(GOLDEN / "commands.txt", "bugreport", "\n".join(titles))
