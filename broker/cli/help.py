"""`help` and `version`.

The one invariant: the table of exit codes that is shown is the one that is used.
"""

from __future__ import annotations

from broker import __version__
from broker.cli import exit_codes
from broker.cli.commands import COMMANDS
from broker.cli.failures import UsageError
from broker.cli.parser import build_parser, command_parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal

EXIT_CODES = "exit-codes"
MANUAL = "man"


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Show help about everything, a command, or the exit codes."""
    if args.topic == EXIT_CODES:
        terminal.result(exit_codes.table())
    elif args.topic == MANUAL:
        from broker.cli.manual_page import render

        terminal.result(render())
    elif args.topic is None:
        terminal.result(build_parser().format_help().rstrip())
    elif args.topic in COMMANDS:
        terminal.result(command_parsers()[args.topic].format_help().rstrip())
    else:
        raise UsageError(f"there is no help about {args.topic!r}", f"a command, {EXIT_CODES}, or {MANUAL}")
    return exit_codes.DONE


def version(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the version."""
    if args.json:
        terminal.document({"version": __version__})
    else:
        terminal.result(__version__)
    return exit_codes.DONE
