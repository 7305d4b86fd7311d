"""The entry point: arguments in, exit code out; every way to fail is turned into words and a number here.

Imports next to nothing: a command's module is loaded when it runs. The one invariant: a traceback is shown for a
bug and for nothing else.
"""

from __future__ import annotations

import os
import sys

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.cli.quick import serve_arguments, ticket_arguments
from broker.cli.terminal import Terminal
from broker.client.problems import ClientError, Problem, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None, terminal: Terminal | None = None) -> int:
    """Run one command; the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    terminal = terminal or Terminal.of_process()
    try:
        return _run(arguments, terminal)
    except Failure as failure:
        return _tell(terminal, failure)
    except KeyboardInterrupt:
        if terminal.stderr.isatty():
            terminal.note("")  # the prompt is not to stand behind ^C
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        return _close(terminal)


def _run(argv: list[str], terminal: Terminal) -> int:
    try:
        return _dispatch(argv, terminal)
    except SystemExit as done:  # --help, --version
        return done.code if isinstance(done.code, int) else exit_codes.DONE
    except Problem as problem:
        raise Failure.from_problem(problem) from None
    except Unreachable as error:
        raise Failure(str(error), exit_codes.UNREACHABLE, hint=error.hint) from None
    except ClientError as error:
        raise Failure(str(error), exit_codes.UNEXPECTED, hint=error.hint) from None


def _dispatch(argv: list[str], terminal: Terminal) -> int:
    quick = ticket_arguments(argv)
    if quick is not None:
        from broker.cli.ticket import ticket

        return ticket(quick, terminal)
    quick = serve_arguments(argv)
    if quick is not None:
        from broker.cli.serve import run

        return run(quick, terminal)
    from broker.cli.parser import build_parser, load

    args = build_parser(argv).parse_args(argv)
    return load(args.run)(args, terminal)


def _tell(terminal: Terminal, failure: Failure) -> int:
    try:
        terminal.note(f"error: {failure}")
        for line in failure.details:
            terminal.note(f"  {line}")
        if failure.hint:
            terminal.note(f"hint: {failure.hint}")
    except BrokenPipeError:
        _close(terminal)
    return failure.exit_code


def _close(terminal: Terminal) -> int:
    """Whoever read us has gone: say nothing more, not even at the interpreter's own flush."""
    if terminal.stdout is sys.stdout:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    return exit_codes.BROKEN_PIPE
