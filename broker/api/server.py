"""The way from our connections to aiohttp, which is no part of a start: it is loaded right after, or by a request.

To import it takes 0.2 s, longer than all that a start must do. The one invariant: whoever asks before it is loaded is
answered like everybody else, as soon as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from broker.api import web
    from broker.api.connection import Connection
    from broker.api.general import GeneralServer, HttpConnection
    from broker.api.limits import Limits


class HttpServer:
    """Makes the general half of connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        limits: Limits,
        on_bug: Callable[[BaseException], None],
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._on_bug = on_bug
        self._general: GeneralServer | None = None

    def connect(self, connection: Connection, transport: asyncio.Transport) -> HttpConnection:
        """The general machinery for a connection that needs it."""
        if self._general is None:
            from broker.api.general import GeneralServer

            self._general = GeneralServer(self._handler, self._limits, self._on_bug)
        return self._general.connect(connection, transport)


def load() -> None:
    """Have it ready before a request needs it. Blocking, for a thread."""
    import broker.api.general  # noqa: F401
