"""HTTP/1.1 over our connections: aiohttp's parser and writer, our admission, deadlines and error answers.

aiohttp's own router, middlewares, access log and tracebacks in the log stay out. The one invariant: what a client
sends, however malformed, is answered with a problem or a closed connection and never with a line in the log.
"""

from __future__ import annotations

import logging
import select
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from broker.api.problems import RequestRefused, render
from broker.errors import BrokerError, Code, Remedy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from broker.api.connection import Connection, Connections

SERVER_NAME = "eliot-broker"
NEVER_SECONDS = 86400.0
SILENT = logging.getLogger("broker.api.aiohttp")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False
MALFORMED = RequestRefused(
    "the request is not HTTP, or a line of it is longer than 8 KiB; the connection is closed", status=400
)
BUG = RequestRefused(
    "the broker made a mistake of its own; it is in its log",
    status=500,
    code=Code.INTERNAL_ERROR,
    remedy=Remedy.NONE,
)


def problem_response(error: BrokerError, *, close: bool = False) -> web.Response:
    """The problem of a failure as a response."""
    status, headers, body = render(error)
    headers["Server"] = SERVER_NAME
    response = web.Response(status=status, headers=headers, body=body)
    if close:
        response.force_close()
    return response


class QuietConnection(web.RequestHandler):
    """aiohttp's connection, which answers with problems and logs nothing; `on_bug` hears what is our own mistake."""

    __slots__ = ("_on_bug",)

    def __init__(self, manager: web.Server, on_bug: Callable[[BaseException], None], **kwargs: Any) -> None:
        quiet: dict[str, Any] = {"access_log": None, "logger": SILENT}  # no log at all is None, whatever its type says
        super().__init__(manager, tcp_keepalive=False, auto_decompress=False, **quiet, **kwargs)
        self._on_bug = on_bug

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on, or was read and is about to be: aiohttp waits for none."""
        waiter = self._waiter
        return waiter is None or waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's signature; it quotes the request
    ) -> web.StreamResponse:
        """A problem instead of aiohttp's page; only what is our own mistake is told."""
        if status >= 500 and exc is not None:  # noqa: PLR2004
            self._on_bug(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        return problem_response(BUG if status >= 500 else MALFORMED, close=True)  # noqa: PLR2004

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What aiohttp found wrong in itself or in a handler: ours to tell."""
        exc = kw.get("exc_info")
        self._on_bug(exc if isinstance(exc, BaseException) else RuntimeError(str(args[:1])))


class HttpConnection(QuietConnection):
    """One connection of the Unix socket; `connection` is None where it was turned away."""

    __slots__ = ("_connections", "_raw_transport", "connection")

    def __init__(
        self, manager: HttpServer, connections: Connections, on_bug: Callable[[BaseException], None], **kwargs: Any
    ) -> None:
        super().__init__(manager, on_bug, **kwargs)
        self._connections = connections
        self._raw_transport: asyncio.Transport | None = None
        self.connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw_transport = cast("asyncio.Transport", transport)
        self.connection = self._connections.admit(self._raw_transport)
        if self.connection is not None:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.connection is None:
            if self._raw_transport is not None:
                self._raw_transport.close()
            return
        self.connection.received(self._loop.time())
        super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # aiohttp declares less than asyncio allows
        """Keep a connection that only said it will send no more, as `nc -N` does, until its answer is out."""
        connection = self.connection
        if connection is None or self._raw_transport is None or not self.busy:
            return None
        poll = select.poll()
        poll.register(self._raw_transport.get_extra_info("socket").fileno(), 0)
        if poll.poll(0):  # POLLHUP: closed altogether
            return None
        connection.half_closed = True
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.connection is not None:
            self.connection.writing(paused=True, now=self._loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.connection is not None:
            self.connection.writing(paused=False, now=self._loop.time())

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.connection is None:
            if self._raw_transport is not None:
                self._connections.forget_refused(self._raw_transport)
            return
        super().connection_lost(exc)
        self._connections.remove(self.connection)


class HttpServer(web.Server):
    """The protocol factory of the listener."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        connections: Connections,
        on_bug: Callable[[BaseException], None],
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._parts = (connections, on_bug)
        limits = connections.limits
        self._settings: dict[str, Any] = {
            "keepalive_timeout": NEVER_SECONDS,  # ours: Connection.deadline
            "max_line_size": limits.line_bytes,
            "max_field_size": limits.line_bytes,
            "max_headers": limits.headers,
            "lingering_time": 0,  # on a Unix socket the answer is read although we closed
        }

    def __call__(self) -> HttpConnection:
        connections, on_bug = self._parts
        return HttpConnection(self, connections, on_bug, loop=self._loop, **self._settings)

    @property
    def http_connections(self) -> list[HttpConnection]:
        """The connections that are open."""
        return [cast("HttpConnection", handler) for handler in self.connections]
