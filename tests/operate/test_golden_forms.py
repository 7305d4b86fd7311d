"""The rarer forms of every command: JSON, refusals, a moved login, a watch, what runs out; held to golden files.

UPDATE_GOLDEN=1 renews them, to be read before they are kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, api_fault
from tests.cli.conftest import NOW, Command
from tests.cli.test_login import LOGGED_OUT, PENDING, STARTED
from tests.client.fake_daemon import FakeDaemon
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.e2e.waiting import until
from tests.golden import check, normalised, say
from tests.operate.test_golden_commands import CONFIGURATION, login

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "golden"
PASSPHRASE = "correct horse battery staple\n"


def held(file: str, title: str, said: str, directory: Path) -> None:
    names = {"DIR": directory, "PYTHON": sys.executable, "BIN": Path(sys.executable).parent, "ROOT": ROOT}
    check(GOLDEN / file, title, normalised(said, **names))


# without a daemon

FORMS = [
    "version --json",
    "config check --json",
    "config show --json",
    "config example --json",
    "units --json",
    "units --user",
    "units --install --root DIR/package",
    "units --uninstall --root DIR/package",
    "credentials --list --config DIR/broker.toml",
    "credentials --list --json --config DIR/broker.toml",
    "credentials --check --config DIR/broker.toml",
    "credentials no/name --config DIR/broker.toml",
    "state rekey --json",
    "state rekey --old-key env:NOWHERE",
    "state import",
    "doctor --offline",
    "doctor --offline --json",
    "doctor --config DIR/nowhere.toml",
    "sandbox --scenario nowhere",
    "status --json",
    "wait --timeout 0",
    "login home",
    "bugreport --output DIR/nowhere/report.txt",
    "serve --config DIR/nowhere.toml",
    "completion tcsh",
    "ticket",
    "status --nonsense",
    "ticket front-door --wait soon",
]


@pytest.mark.parametrize("line", FORMS)
def test_a_form_without_a_daemon(tmp_path: Path, line: str) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("canary\n")
    (tmp_path / "broker.toml").write_text(CONFIGURATION.format(directory=tmp_path))
    if "--uninstall" in line:
        say("units", "--install", "--root", str(tmp_path / "package"))
    words = line.replace("DIR", str(tmp_path)).split()
    environ = {"ELIOT_BROKER_CONFIG": str(tmp_path / "broker.toml"), "PATH": "/nowhere", "HOME": str(tmp_path)}
    held("forms.txt", line, say(*words, environ=environ, socket=tmp_path / "none.sock"), tmp_path)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "broker.sock") as daemon:
        yield daemon


def test_a_login_that_nobody_completes(fake: FakeDaemon) -> None:
    fake.answer("POST", "/v1/accounts/home/login", STARTED, 201)
    for row in (LOGGED_OUT, PENDING):
        fake.answer("GET", "/v1/accounts/home", row)
    command = Command(fake.path)
    command.terminal.tick = 60.0
    command.end_input()
    code = command("login", "home")
    command.close()
    assert command.terminal.now() >= NOW + 600
    said = f"$ eliot-broker login home\n{command.out}-- stderr\n{command.err}exit {code}\n"
    held("forms.txt", "login home: nobody logs in", said, fake.path.parent)


@pytest.mark.parametrize("line", ["ticket front-door", "status", "refresh home", "watch front-door", "login home"])
def test_a_broker_that_is_stopping(fake: FakeDaemon, line: str) -> None:
    for method, path in (
        ("GET", "/v1/tickets/front-door"), ("GET", "/v1/status"), ("POST", "/v1/accounts/home/refresh"),
        ("GET", "/v1/tickets/front-door/watch"), ("GET", "/v1/accounts/home"),
    ):  # fmt: skip
        fake.problem(method, path, "shutting_down", "retry", 503, detail="the broker is stopping", retry_after=1)
    held("forms.txt", f"{line}: the broker is stopping", say(*line.split(), socket=fake.path), fake.path.parent)


# with one

TALK = [
    "status --json",
    "why front-door --json",
    "ticket front-door --json",
    "ticket front-door --format KEY={ticket}",
    "id-token home --json",
    "refresh home --json",
    "probe front-door --json",
    "wait --json",
    "reload --json",
    "doctor --call front-door",
    "doctor --call front-door --json",
    "logout home --json",
    "wait --timeout 0",
    "ticket front-door --wait 1",
]


@pytest.mark.slow
def test_json_of_everything_that_is_shown(tmp_path: Path) -> None:
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon:
        login(daemon, cloud)
        daemon.client.ticket("front-door", wait=30)
        environ = {"PATH": os.environ["PATH"], "ELIOT_BROKER_CONFIG": str(daemon.config)}
        for number, line in enumerate(TALK, 1):
            said = say(*line.split(), environ=environ, socket=daemon.socket_path)
            held("json.txt", f"{number:02} {line}", said, tmp_path)


@pytest.mark.slow
def test_a_ticket_that_is_waited_for_in_vain(tmp_path: Path) -> None:
    with (
        CloudThread() as cloud,
        Daemon(tmp_path, account(cloud, tmp_path) + ticket(more='warm = "on-demand"')) as daemon,
    ):
        login(daemon, cloud)
        cloud.script.add("call_in", api_fault("not_found"))
        said = say("ticket", "front-door", "--wait", "1", socket=daemon.socket_path)
        held("forms.txt", "ticket front-door --wait 1: the gateway is offline", said, tmp_path)


@pytest.mark.slow
def test_a_watch_of_a_ticket_from_its_first_line_to_the_brokers_end(tmp_path: Path) -> None:
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon:
        watchers = {line: watcher(daemon, tmp_path / line) for line in ("watch front-door", "watch front-door --json")}

        def wait_for(words: str, number: int = 1) -> None:
            files = [tmp_path / line for line in watchers]
            until(lambda: all(file.read_text().count(words) >= number for file in files), seconds=60, what=daemon.log)

        wait_for("not logged in")
        login(daemon, cloud)
        wait_for("generation")
        daemon.client.logout("home")
        wait_for("not logged in", 2)
        daemon.stop()
        for line, process in watchers.items():
            code = process.wait(timeout=60)
            lines = (tmp_path / line).read_text().splitlines(keepends=True)
            told = "".join(each for each in lines if "no answer yet" not in each)  # seldom too short to be seen
            said = f"$ eliot-broker {line}\n{told}exit {code}\n"
            held("forms.txt", line, said, tmp_path)


def watcher(daemon: Daemon, file: Path) -> subprocess.Popen[bytes]:
    """The command of the file's name, which writes into it."""
    command = [sys.executable, "-m", "broker", "--socket", str(daemon.socket_path), *file.name.split()]
    with file.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Connections made within are another user's."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


REFUSED = ["ticket front-door", "id-token home", "login home", "logout home", "refresh home", "reload",
           "probe front-door", "watch front-door", "status"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_which_rule_is_missing() -> None:
    with tempfile.TemporaryDirectory() as name, CloudThread() as cloud:
        directory = Path(name)
        directory.chmod(0o755)
        text = account(cloud, directory) + ticket(more='warm = "on-demand"\nallow = ["uid:12345"]')
        with Daemon(directory, text) as daemon:
            daemon.socket_path.chmod(0o666)
            login(daemon, cloud)
            for line in REFUSED:
                with as_nobody():
                    said = say(*line.split(), socket=daemon.socket_path)
                held("refused.txt", line, said, directory)


@pytest.mark.slow
def test_a_login_is_moved_out_and_in_again(tmp_path: Path) -> None:
    bundle = str(tmp_path / "home.bundle")
    with (
        CloudThread() as cloud,
        Daemon(tmp_path, account(cloud, tmp_path) + ticket(more='warm = "on-demand"')) as daemon,
    ):
        environ = {"PATH": os.environ["PATH"], "ELIOT_BROKER_CONFIG": str(daemon.config)}

        def held_to(number: int, line: str, given: str = PASSPHRASE) -> None:
            said = say(*line.replace("BUNDLE", bundle).split(), given=given, environ=environ)
            held("state.txt", f"{number:02} {line}", said, tmp_path)

        login(daemon, cloud)
        held_to(1, "state rekey")
        daemon.stop()
        held_to(2, "state export nowhere BUNDLE")
        held_to(3, "state export home BUNDLE")
        held_to(4, "state export home BUNDLE")
        held_to(5, "state import BUNDLE", "wrong\n")
        kept = Path(bundle).read_bytes()
        held_to(6, "state import BUNDLE")
        Path(bundle).write_bytes(kept)
        held_to(7, "state import BUNDLE")
        held_to(8, "state import BUNDLE --replace")
        held_to(9, "state rekey --json")
        daemon.start().wait_up()
        assert daemon.client.account("home")["state"] == "logged_in"
