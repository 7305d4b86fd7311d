"""HTTP/1.1 over our connections: aiohttp's parser and writer, our admission, deadlines and error answers.

aiohttp's own router, middlewares, access log and tracebacks in the log stay out; to import this module is to load
aiohttp (0.3 s), which server.py does when it is needed. The one invariant: what a client sends, however malformed, is
answered with a problem or a closed connection and never with a line in the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from broker.api import web
from broker.api.call import problem_response
from broker.api.heads import MALFORMED
from broker.api.problems import BUG

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from broker.api.connection import Connection
    from broker.api.limits import Limits

NEVER_SECONDS = 86400.0
BODY_BUFFER_BYTES = 2048  # of a body that nobody reads yet; aiohttp's own 65536, and as much again, times all who wait
SILENT = logging.getLogger("broker.api.aiohttp")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


class QuietConnection(web.RequestHandler):
    """aiohttp's connection, which answers with problems and logs nothing; `on_bug` hears what is our own mistake."""

    __slots__ = ("_on_bug",)

    def __init__(self, manager: web.Server, on_bug: Callable[[BaseException], None], **kwargs: Any) -> None:
        quiet: dict[str, Any] = {"access_log": None, "logger": SILENT}  # no log at all is None, whatever its type says
        super().__init__(manager, tcp_keepalive=False, auto_decompress=False, **quiet, **kwargs)
        self._on_bug = on_bug

    @property
    def holding(self) -> bool:
        """Whether aiohttp wants nothing to be read now; it says so itself when it does again."""
        return self._reading_paused or self._buffer_paused

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
    """aiohttp's half of a connection of the Unix socket; `front` hands it what it must read."""

    __slots__ = ("connection",)

    def __init__(
        self,
        manager: GeneralServer,
        connection: Connection,
        on_bug: Callable[[BaseException], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(manager, on_bug, **kwargs)
        self.connection = connection

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """As for every connection, and what was no HTTP is counted and told as a limit that was run into."""
        if status < 500:  # noqa: PLR2004
            self.connection.limited(MALFORMED)
            if exc is not None:
                exc.__traceback__ = None  # of a frame that holds it: a cycle
        return super().handle_error(request, status, exc, message)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Any:
        """Write the answer to its end, behind which the next request may be handed in."""
        finished = await super().finish_response(request, resp, start_time)
        if resp.keep_alive:
            self.connection.front.answered()
        return finished


class GeneralServer(web.Server):
    """Makes aiohttp's half of connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        limits: Limits,
        on_bug: Callable[[BaseException], None],
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._on_bug = on_bug
        self._settings: dict[str, Any] = {
            "keepalive_timeout": NEVER_SECONDS,  # ours: Connection.deadline
            "max_line_size": limits.line_bytes,
            "max_field_size": limits.line_bytes,
            "max_headers": limits.headers,
            "read_bufsize": BODY_BUFFER_BYTES,
            "lingering_time": 0,  # on a Unix socket the answer is read although we closed
        }

    def connect(self, connection: Connection, transport: asyncio.Transport) -> HttpConnection:
        """The general machinery for a connection that needs it."""
        http = HttpConnection(self, connection, self._on_bug, loop=self._loop, **self._settings)
        http.connection_made(transport)
        return http
