"""The command line: arguments in, a command's name and values out.

Only the parser of the command that was asked for is built, for building all takes as long as asking the broker. The
one invariant: `--help` of every command ends with its example.
"""

from __future__ import annotations

import argparse

from broker import __version__
from broker.cli.commands import COMMANDS
from broker.cli.failures import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn

    from broker.cli.commands import Command
    from broker.cli.terminal import Terminal

    Run = Callable[[argparse.Namespace, Terminal], int]

PROGRAM = "eliot-broker"


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises instead of printing and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help")


def build_parser(argv: Sequence[str] = ()) -> Parser:
    """The parser of the whole command, or only of the one that `argv` begins with."""
    return _build(argv[:1] if argv and argv[0] in COMMANDS else COMMANDS)[0]


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command by its name, for help and completion."""
    return _build(COMMANDS)[1]


def load(run: str) -> Run:
    """The function behind a command's MODULE:FUNCTION."""
    import importlib

    module, _, function = run.partition(":")
    found: Run = getattr(importlib.import_module(f"broker.cli.{module}"), function)
    return found


def _build(names: Iterable[str]) -> tuple[Parser, dict[str, argparse.ArgumentParser]]:
    parser = Parser(
        prog=PROGRAM,
        description="Logs in to the ELIOT cloud once, keeps the login, and hands out call-in tickets.",
        epilog="example:\n  TICKET=$(eliot-broker ticket front-door)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--socket", metavar="PATH", help="the broker's socket (/path or unix:///path)")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}", help="print the version")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    return parser, {name: _add(parsers, name, COMMANDS[name]) for name in names}


def _add(parsers: Any, name: str, command: Command) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=command.summary,
        description=command.summary,
        epilog=f"example:\n  {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--socket", metavar="PATH", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    if command.arguments is not None:
        command.arguments(parser)
    parser.set_defaults(run=command.run)
    return parser
