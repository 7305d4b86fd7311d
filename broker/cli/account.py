"""`refresh` and `logout`: one action on an account, and its state afterwards.

The one invariant: nothing on stdout but what --json asks for.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.client.operations import Document


def refresh(args: argparse.Namespace, terminal: Terminal) -> int:
    """Refresh an account's login now."""
    row = client_for(args).refresh(args.name)
    return _done(args, terminal, row, f"refreshed {args.name}: {row.get('state', 'done')}")


def logout(args: argparse.Namespace, terminal: Terminal) -> int:
    """Drop an account's login and tickets."""
    row = client_for(args).logout(args.name)
    return _done(args, terminal, row, f"logged out of {args.name}")


def _done(args: argparse.Namespace, terminal: Terminal, row: Document, words: str) -> int:
    if args.json:
        terminal.document(row)
    terminal.note(words)
    return exit_codes.DONE
