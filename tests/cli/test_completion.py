"""Completion in fish and zsh themselves; bash's is in test_commands."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

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
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), "TERM": "dumb"},
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
