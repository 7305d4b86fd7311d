"""The client library: tickets from a running broker, for programs; `Client` is synchronous, `AsyncClient` for asyncio.

Standard library only, nothing else of broker: the folder can be copied out. Names are loaded at first use, because
the command imports this package and must start fast. The one invariant: whatever goes wrong with the broker is a
`ClientError`: a `Problem` that it told, or `Unreachable`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from broker.client.asynchronous import AsyncClient
    from broker.client.problems import ClientError, Problem, Unreachable
    from broker.client.synchronous import Client
    from broker.client.values import IdToken, Ticket, WatchLine

__all__ = ["AsyncClient", "Client", "ClientError", "IdToken", "Problem", "Ticket", "Unreachable", "WatchLine"]

_HOMES = {
    "AsyncClient": "asynchronous",
    "Client": "synchronous",
    "ClientError": "problems",
    "IdToken": "values",
    "Problem": "problems",
    "Ticket": "values",
    "Unreachable": "problems",
    "WatchLine": "values",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
