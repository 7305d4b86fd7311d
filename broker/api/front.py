"""One connection of the Unix socket as asyncio sees it: admission, the fast path, and aiohttp behind it.

aiohttp's half is made when the first request needs it. A request may be answered by the fast path only while nothing
is left with aiohttp: no bytes of an unfinished request and none that is being worked on. The one invariant: aiohttp
sees a connection's bytes either whole and in order, or not at all.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.api.connection import Connection, Connections
    from broker.api.hot import HotPath
    from broker.api.server import HttpConnection, HttpServer


READ_BYTES = 16_384  # at a time, of a connection: so much work, and memory, at most before the others have their turn
_buffer = memoryview(bytearray(READ_BYTES))  # one for all: what came is copied out before anybody else reads


class Front(asyncio.BufferedProtocol):
    """The protocol of one connection; `connection` is None where it was turned away."""

    __slots__ = ("_clear", "_connections", "_hot", "_http", "_monotonic", "_server", "_transport", "connection")

    def __init__(
        self, connections: Connections, hot: HotPath, server: HttpServer, monotonic: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._hot = hot
        self._server = server
        self._monotonic = monotonic
        self._http: HttpConnection | None = None
        self._clear = True
        self.connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.connection = self._connections.admit(self._transport, self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        connection = self.connection
        if connection is None:
            self._transport.close()
            return
        if (self._clear or self._is_clear(connection)) and self._hot.answer(connection, data):
            return
        connection.received(self._monotonic(), data if self._clear else None)
        self._clear = False
        if self._http is None:
            self._http = self._server.connect(connection)
        self._http.data_received(data)

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on, or was read and is about to be."""
        return self._http is not None and self._http.busy

    def close(self) -> None:
        """Close the connection, which is not busy."""
        if self._http is None:
            self._transport.close()
        else:
            self._http.force_close()

    def _is_clear(self, connection: Connection) -> bool:
        """Whether aiohttp has answered all that it was given, and the client reads the answers."""
        self._clear = connection.whole_answered and not self.busy and not connection.writing_paused
        return self._clear

    def eof_received(self) -> bool | None:
        """Keep a connection that only said it will send no more, as `nc -N` does, until its answer is out."""
        if self.connection is None or not self.busy:
            return None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        if poll.poll(0):  # POLLHUP: closed altogether
            return None
        self.connection.half_closed = True
        return True

    def pause_writing(self) -> None:
        self._writing(paused=True)

    def resume_writing(self) -> None:
        self._writing(paused=False)

    def _writing(self, *, paused: bool) -> None:
        if self.connection is None:
            return
        self._clear = False
        if self._http is None:  # it has to know, should it be asked to write
            self._http = self._server.connect(self.connection)
        if paused:
            self._http.pause_writing()
        else:
            self._http.resume_writing()
        self.connection.writing(paused=paused, now=self._monotonic())

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.connection is None:
            self._connections.forget_refused(self._transport)
            return
        if self._http is not None:
            self._http.connection_lost(exc)
        self._connections.remove(self.connection)
