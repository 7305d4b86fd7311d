"""`config check|show|example`: what the configuration says, without a running daemon.

The one invariant: no value of a secret is shown, and the process's environment is left as it is.
"""

from __future__ import annotations

from pathlib import Path

from broker.cli import exit_codes
from broker.cli.serve import config_failure
from broker.core.words import counted
from broker.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.config import Config


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Check, show or sample the configuration."""
    try:
        return {"check": _check, "show": _show, "example": _example}[args.action](args, terminal)
    except ConfigError as error:
        if args.json:
            terminal.document({"valid": False, "problems": list(error.problems) or [error.message]})
        raise config_failure(error) from None


def read(config: str | None, terminal: Terminal) -> Config:
    """The configuration that `serve` would read. Raises: ConfigError."""
    from broker.config.file import find_config_file, read_config

    environment = dict(terminal.environment)  # read_config takes variables out of what it is given
    return read_config(find_config_file(Path(config) if config else None, environment), environment)


def _check(args: argparse.Namespace, terminal: Terminal) -> int:
    from broker.config.warnings import config_warnings

    config = read(args.config, terminal)
    warnings = config_warnings(config)
    if args.json:
        terminal.document({"valid": True, "file": str(config.file), "problems": [], "warnings": warnings})
        return exit_codes.DONE
    for warning in warnings:
        terminal.note(f"warning: {warning}")
    accounts, tickets = counted(len(config.accounts), "account"), counted(len(config.tickets), "ticket")
    terminal.result(f"{config.file}: no problem in {accounts} and {tickets}")
    return exit_codes.DONE


def _show(args: argparse.Namespace, terminal: Terminal) -> int:
    from broker.config.view import render_config, show_config

    view = show_config(read(args.config, terminal))
    if args.json:
        terminal.document(view)
    else:
        terminal.result(render_config(view).rstrip())
    return exit_codes.DONE


def _example(args: argparse.Namespace, terminal: Terminal) -> int:
    from broker.config.manual import config_example

    text = config_example(full=args.full)
    if args.json:
        import tomllib

        terminal.document(tomllib.loads(text))
    else:
        terminal.result(text.rstrip())
    return exit_codes.DONE
