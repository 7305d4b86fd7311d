"""Completion in fish and zsh themselves, and in lines that a person edits; what bash is offered is in test_commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.readme import blocks
from tests.operate.screen import Screen

if TYPE_CHECKING:
    from tests.cli.conftest import Command
    from tests.client.fake_daemon import FakeDaemon

PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"

# zsh's own compadd works only in a line that is being edited: here it prints what it would offer
ZSH = """compdef() {{ : }}; _describe() {{ print -l -- ${{commands%%:*}} }}; compadd() {{ shift; print -l -- $@ }}
source {file}; words=({line}); CURRENT=${{#words}}; _eliot_broker"""
FISH = "source {file}; complete -C '{line}' | string split -f1 \\t"


def asked(shell: str, script: str, command: Command, directory: Path, line: str) -> set[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"cannot run here: there is no {shell}")
    assert command("completion", shell) == 0
    file = directory / f"completion.{shell}"
    file.write_text(command.out)
    done = subprocess.run(
        [shell, "-c", script.format(file=file, line=line)],
        env={"PATH": PATH, "HOME": str(directory), "TERM": "dumb"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eliot-broker stat", {"status", "state"}),
        ("eliot-broker ticket --m", {"--min-validity"}),
        ("eliot-broker config sh", {"show"}),
        ("eliot-broker help exit", {"exit-codes"}),
    ],
)
def test_fish_completes(command: Command, tmp_path: Path, line: str, expected: set[str]) -> None:
    assert asked("fish", FISH, command, tmp_path, line) == expected


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("eliot-broker stat", {"status", "state", "ticket"}),
        ("eliot-broker ticket --m", {"--min-validity", "--wait"}),
        ("eliot-broker config s", {"show", "check", "example"}),
        ("eliot-broker help exit", {"exit-codes", "man"}),
    ],
)
def test_zsh_is_offered_what_can_follow(command: Command, tmp_path: Path, line: str, offered: set[str]) -> None:
    assert offered <= asked("zsh", ZSH, command, tmp_path, line)


START_FILES = {  # a person's own, before the README's line is added to it
    "bash": (".bashrc", "PS1='ready> '\n"),
    "zsh": (".zshrc", "autoload -U compinit && compinit -u\nPROMPT='ready> '\n"),
    "fish": (".config/fish/config.fish", "function fish_prompt; echo 'ready> '; end\n"),
}


@pytest.mark.parametrize("shell", START_FILES)
def test_a_line_that_is_typed_is_completed_to_a_ticket(daemon: FakeDaemon, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"cannot run here: there is no {shell}")
    daemon.answer("GET", "/v1/status", {"tickets": [{"name": "front-door"}], "accounts": [{"name": "home"}]})
    daemon.answer("GET", "/v1/tickets/front-door", {"ticket": "a-ticket-of-the-door"})
    [line] = [block.text for block in blocks("Looking after it") if block.language == shell]
    name, before = START_FILES[shell]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(before + line)
    environ = {"PATH": PATH, "HOME": str(tmp_path), "ELIOT_BROKER_SOCKET": str(daemon.path), "LC_ALL": "C.UTF-8"}
    with Screen([shell, "-i"], environ=environ, cwd=tmp_path) as screen:
        screen.until("ready> ")
        screen.press("eliot-broker tic\t")
        screen.until("ket")
        screen.press("\t")
        screen.until("front-door")
        screen.press(" --format '<{ticket}>'\r")
        screen.until("<a-ticket-of-the-door>")
