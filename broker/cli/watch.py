"""`watch`: every change of a ticket, one line each; ends when the daemon stops.

The one invariant: with --json every line of the socket is passed on, the ticket included; without, no secret is shown.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.client import operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.client.operations import Document


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print every change of a ticket."""
    for line in client_for(args).lines(operations.watch(args.name)):
        if args.json:
            terminal.document(line, indent=None)
        elif line.get("type") != "heartbeat":
            terminal.result(_words(args.name, line))
    return exit_codes.DONE


def _words(name: str, line: Document) -> str:
    kind = line.get("type")
    if kind == "ticket":
        return f"{name}: generation {line.get('generation', '?')}, valid for {line.get('expires_in', '?')} s"
    if kind == "unavailable":
        why = line.get("detail") or line.get("code") or "nobody asked for one yet"
        return f"{name}: unavailable: {why}"
    if kind == "end":
        return f"{name}: the broker is stopping"
    return f"{name}: {kind}"
