"""The daemon that a command speaks to, by its arguments.

The one invariant: a socket that is no path is the caller's mistake (2), never "unreachable" (3).
"""

from __future__ import annotations

from broker.cli.failures import UsageError
from broker.client.synchronous import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def client_for(args: argparse.Namespace, timeout_seconds: float = 30.0) -> Client:
    """The client of the daemon that --socket or the environment names. Raises: UsageError."""
    try:
        return Client(args.socket, timeout_seconds)
    except ValueError as error:
        raise UsageError(str(error), "for example --socket /run/eliot-broker/broker.sock") from None
