"""Where the broker's socket is looked for: the argument, ELIOT_BROKER_SOCKET, then the two usual places.

Reads no configuration file and touches no file. The one invariant: a place that was named is the only one tried.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_SOCKET = "/run/eliot-broker/broker.sock"


def socket_candidates(argument: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The paths to try, in order; a named one is `/path` or `unix:///path`.

    Raises: ValueError, for a named one that is an address of another kind.
    """
    if argument is not None:
        return (_path(os.fspath(argument), "the socket"),)
    named = environment.get("ELIOT_BROKER_SOCKET", "")
    if named:
        return (_path(named, "ELIOT_BROKER_SOCKET"),)
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    return (SYSTEM_SOCKET, f"{runtime}/eliot-broker/broker.sock") if runtime else (SYSTEM_SOCKET,)


def _path(value: str, what: str) -> str:
    path = value.removeprefix("unix://") if value.startswith("unix://") else value
    if not path or "://" in path or "\0" in path:
        raise ValueError(f"{what} must be /path or unix:///path, not {value!r}")
    return path
