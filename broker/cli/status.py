"""`status`: one screen about everything, once or again and again.

The one invariant: --json passes on the broker's document as it is.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.cli.status_text import render, wrapped
from broker.client.problems import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.client.synchronous import Client

BETWEEN_SECONDS = 2.0
CLEAR = "\033[H\033[2J"


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Show the status."""
    client = client_for(args)
    _show(client, args, terminal)
    while args.watch:
        terminal.pause(BETWEEN_SECONDS)
        try:
            _show(client, args, terminal)
        except Unreachable as error:  # it was there before: it may be restarting
            terminal.note(f"error: {error}")
    return exit_codes.DONE


def _show(client: Client, args: argparse.Namespace, terminal: Terminal) -> None:
    document = client.status()
    if args.json:
        terminal.document(document, indent=None if args.watch else 2)
        return
    text = render(document, terminal.now())
    columns, _ = terminal.size()
    if terminal.stdout.isatty() and columns:
        text = wrapped(text, columns)
    if args.watch:
        text = f"{CLEAR}{text}" if terminal.stdout.isatty() else f"{text}\n"
    terminal.result(text)
