"""The command line itself: usage, help, streams that go away, and the real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker import __version__
from broker.cli.commands import COMMANDS
from broker.cli.main import main
from broker.cli.parser import command_parsers, load
from tests.client.documents import ticket

if TYPE_CHECKING:
    from tests.cli.conftest import Command
    from tests.client.fake_daemon import FakeDaemon

GOLDEN = Path(__file__).parent / "golden"
PROGRAM = [sys.executable, "-c", "import sys; from broker.cli.main import main; sys.exit(main())"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["ticket"],
        ["ticket", "a", "b"],
        ["ticket", "a", "--wait", "-1"],
        ["ticket", "a", "--wait", "1.5"],
        ["ticket", "a", "--socket"],
        ["ticket", "a", "--js"],
        ["help", "nonsense"],
        ["config"],
        ["completion", "tcsh"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_understood_ends_with_2_and_a_hint(command: Command, arguments: list[str]) -> None:
    assert command(*arguments) == 2
    assert command.out == ""
    assert re.fullmatch(r"error: .+\nhint: .+\n", command.err)


def test_a_socket_that_is_no_path_is_a_usage_error(command: Command) -> None:
    assert command("status", "--socket", "tcp://localhost:1") == 2
    assert command.err.startswith("error: the socket must be /path or unix:///path")


@pytest.mark.parametrize("where", ["before", "after", "unix", "environment"])
def test_the_socket_is_taken_before_and_after_the_command(command: Command, daemon: FakeDaemon, where: str) -> None:
    daemon.answer("GET", "/v1/tickets/front-door", ticket())
    words, environment = {
        "before": (["--socket", str(daemon.path), "ticket", "front-door"], {}),
        "after": (["ticket", "front-door", "--socket", str(daemon.path)], {}),
        "unix": (["ticket", "--socket", f"unix://{daemon.path}", "front-door"], {}),
        "environment": (["ticket", "front-door"], {"ELIOT_BROKER_SOCKET": str(daemon.path)}),
    }[where]
    done = _run(words, environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "eyJ.secret.ticket\n", "")


def test_every_command_has_code_and_help_that_ends_with_an_example(command: Command) -> None:
    for name, parser in command_parsers().items():
        text = parser.format_help()
        assert re.search(rf"example:\n  .*eliot-broker {name}", text), name
        assert callable(load(COMMANDS[name].run))


@pytest.mark.parametrize("arguments", [["--help"], ["ticket", "--help"], ["--version"]], ids=" ".join)
def test_help_goes_to_stdout_and_ends_with_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "eliot-broker" in printed.out
    assert printed.err == ""


def test_help_of_a_command_is_its_help(command: Command) -> None:
    assert command("help", "ticket") == 0
    assert command.out.startswith("usage: eliot-broker ticket ")


def test_the_exit_codes_are_printed(command: Command) -> None:
    assert command("help", "exit-codes") == 0
    assert command.out == (GOLDEN / "exit-codes.txt").read_text()


def test_the_version_is_printed(command: Command) -> None:
    assert command("version") == 0
    assert command.out == f"{__version__}\n"


def test_a_bug_shows_its_traceback(command: Command, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/status", {"accounts": 5})
    with pytest.raises(TypeError):
        command("status")


def test_a_reader_that_has_gone_is_no_error(daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/tickets/front-door", ticket())
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run(
            [*PROGRAM, "ticket", "front-door", "--socket", daemon.path],
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupt_ends_quietly_with_130(daemon: FakeDaemon) -> None:
    daemon.silent("GET", "/v1/tickets/front-door")
    # a shell's background job, as CI may be, is started with SIGINT ignored
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from broker.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "ticket", "front-door", "--socket", str(daemon.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        daemon.asked.wait(10)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, "", "")


def test_ticket_loads_nothing_heavy(daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/tickets/front-door", ticket())
    code = "import sys; from broker.cli.main import main; main(); print(*sys.modules, file=sys.stderr)"
    words = [sys.executable, "-S", "-c", code, "--socket", str(daemon.path), "ticket", "front-door"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    heavy = {"asyncio", "dataclasses", "typing", "http.client", "urllib.parse", "pathlib", "broker.errors"}
    assert heavy & set(done.stderr.split()) == set()


def _run(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "ELIOT_BROKER_SOCKET"}
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, env=clean | environment, check=False)
