"""The way to the socket: connect to a path, and say in a person's words why that failed.

Knows nothing of HTTP. The one invariant: no connection is left open by a failure.
"""

from __future__ import annotations

import socket
import struct

from broker.client.problems import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_IT = "is the daemon running? another place is named with --socket or ELIOT_BROKER_SOCKET"


def connect(paths: Sequence[str], timeout_seconds: float) -> socket.socket:
    """Connect to the first path that has a broker; blocking. Raises: Unreachable, about the most telling one."""
    failures: list[tuple[str, OSError]] = []
    for path in paths:
        try:
            return _connect(path, timeout_seconds)
        except OSError as error:
            failures.append((path, error))
    raise explain(failures)


def explain(failures: Sequence[tuple[str, OSError]]) -> Unreachable:
    """Put connection failures into words; a socket that is there tells more than one that is not."""
    for path, error in failures:
        if isinstance(error, PermissionError):
            return Unreachable(
                f"this user may not open the socket {path}", hint="join the socket's group: ls -l shows it"
            )
        if not isinstance(error, FileNotFoundError):
            return Unreachable(f"no broker answers at {path}: {_reason(error)}", hint=NAME_IT)
    return Unreachable("there is no broker's socket at " + " or ".join(path for path, _ in failures), hint=NAME_IT)


def _connect(path: str, timeout_seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # With settimeout, a full backlog would fail at once with EAGAIN; SO_SNDTIMEO makes the kernel wait (unix(7)).
        whole = int(timeout_seconds)
        micros = int((timeout_seconds - whole) * 1_000_000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", whole, micros or 1))
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _reason(error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        return "too busy to accept a connection"
    return (error.strerror or str(error)).lower()
