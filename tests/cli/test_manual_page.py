"""The man page has everything that the parser takes, and is roff that man(7) knows."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from broker.cli.manual_page import render
from broker.cli.parser import command_parsers

if TYPE_CHECKING:
    from tests.cli.conftest import Command

REQUESTS = {".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".PP", ".nf", ".fi", ".RS", ".RE"}


def test_every_command_and_option_is_in_the_page() -> None:
    plain = render().replace("\\-", "-")
    for name, parser in command_parsers().items():
        assert f"\n.SS {name}" in plain
        for action in parser._actions:
            if action.help != argparse.SUPPRESS:
                assert all(option in plain for option in action.option_strings), action


def test_no_line_is_taken_for_a_request_that_is_none() -> None:
    for line in render().splitlines():
        if line.startswith((".", "'")):
            assert line.split()[0] in REQUESTS, line


def test_help_man_prints_it(command: Command) -> None:
    assert command("help", "man") == 0
    assert command.out == render() + "\n"


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here; the page is checked line by line above")
def test_groff_has_nothing_to_say_about_it() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z"], input=render(), capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
