"""`wait`: until /readyz says 200, looked at once a second on short connections.

The one invariant: where the time runs out, the reasons of the last look are told.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.cli.failures import Failure
from broker.client import operations
from broker.client.problems import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.client.synchronous import Client

READY = 200
BETWEEN_SECONDS = 1.0


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Wait until every ticket that is kept warm can be had."""
    client = client_for(args, timeout_seconds=5.0)
    deadline = None if args.timeout is None else terminal.monotonic() + args.timeout
    reached = False
    while True:
        failure = _look(client, args, terminal)
        if failure is None:
            return exit_codes.DONE
        reached = reached or failure.exit_code == exit_codes.WAIT_RAN_OUT
        if reached:
            failure.exit_code = exit_codes.WAIT_RAN_OUT
        left = BETWEEN_SECONDS if deadline is None else deadline - terminal.monotonic()
        if left <= 0:
            raise failure
        terminal.pause(min(left, BETWEEN_SECONDS))


def _look(client: Client, args: argparse.Namespace, terminal: Terminal) -> Failure | None:
    """None: ready, and said so; otherwise how to fail if this was the last look."""
    try:
        reply = client.exchange(operations.read("/readyz"))
    except Unreachable as error:
        return Failure(str(error), exit_codes.UNREACHABLE, hint=error.hint)
    document = operations.parse_object(reply.take()) or {}
    if reply.status == READY:
        if args.json:
            terminal.document(document)
        return None
    return Failure("still not ready", exit_codes.WAIT_RAN_OUT, hint="eliot-broker status", details=_reasons(document))


def _reasons(document: operations.Document) -> list[str]:
    rows = [row for row in document.get("tickets") or [] if not row.get("ready")]
    problem = [str(document["problem"])] if document.get("problem") else []
    return problem + [_reason(row) for row in rows]


def _reason(row: operations.Document) -> str:
    return f"{row.get('name', '?')}: {row.get('detail') or row.get('code') or 'not there yet'}"
