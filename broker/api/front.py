"""One connection of the Unix socket as asyncio sees it, once it asked what the lobby does not know: aiohttp behind it.

A request may be answered by the fast path only while nothing is left with aiohttp: no bytes of an unfinished request
and none that is being worked on. The one invariant: aiohttp sees a connection's bytes whole and in order.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.api.connection import Connection
    from broker.api.hot import HotPath
    from broker.api.lobby import Seat
    from broker.api.server import HttpConnection, HttpServer
    from broker.api.turnstile import Turnstile


READ_BYTES = 4096  # at a time, of a connection: so much work, and memory, at most before the others have their turn
MUCH_BYTES = 1024  # more than an ordinary request: libuv would read on, 32 times, before anybody else has a turn
_buffer = memoryview(bytearray(READ_BYTES))  # one for all: what came is copied out before anybody else reads


class Front(asyncio.BufferedProtocol):
    """The protocol of one connection, which has left its seat in the lobby with these first bytes."""

    __slots__ = (
        "_clear",
        "_connection",
        "_first",
        "_hot",
        "_http",
        "_monotonic",
        "_seat",
        "_server",
        "_transport",
        "_turnstile",
    )

    def __init__(
        self,
        connection: Connection,
        seat: Seat,
        first: bytes,
        *,
        hot: HotPath,
        server: HttpServer,
        turnstile: Turnstile,
        monotonic: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._seat = seat
        self._first = first
        self._hot = hot
        self._server = server
        self._turnstile = turnstile
        self._monotonic = monotonic
        self._transport: asyncio.Transport | None = None
        self._http: HttpConnection | None = None
        self._clear = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin where the lobby ended."""
        self._transport = self._connection.transport = cast("asyncio.Transport", transport)
        if self._seat.unsent:
            self._transport.write(self._seat.unsent)
        if self._seat.ending:
            self._transport.close()
        elif self._first:
            self.data_received(self._first)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        connection = self._connection
        if (self._clear or self._is_clear(connection)) and self._hot.answer(connection, data):
            return
        between = self._clear or connection.whole_answered  # of two requests, although the first may not be written
        connection.received(self._monotonic(), data if between else None)
        self._clear = False
        self._general().data_received(data)
        if len(data) > MUCH_BYTES:
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        """Read no more until it is this user's turn: what follows costs the others as much again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._turnstile.later(self._connection.identity.uid, self._read_on)

    def _read_on(self) -> None:
        if self._transport is None or self._transport.is_closing() or (self._http is not None and self._http.holding):
            return
        self._transport.resume_reading()

    def _general(self) -> HttpConnection:
        """The half that is aiohttp's, made when it is needed first."""
        if self._http is None:
            assert self._transport is not None
            self._http = self._server.connect(self._connection, self._transport)
        return self._http

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on, or was read and is about to be."""
        return self._transport is None or (self._http is not None and self._http.busy)

    def close(self) -> None:
        """Close the connection, which is not busy."""
        if self._http is not None:
            self._http.force_close()
        elif self._transport is not None:
            self._transport.close()

    def _is_clear(self, connection: Connection) -> bool:
        """Whether aiohttp has answered all that it was given, and the client reads the answers."""
        self._clear = connection.whole_answered and connection.written and not connection.writing_paused
        return self._clear

    def eof_received(self) -> bool | None:
        """Keep a connection that only said it will send no more, as `nc -N` does, until its answer is out."""
        if self._transport is None or not self.busy:
            return None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        if poll.poll(0):  # POLLHUP: closed altogether
            return None
        self._connection.half_closed = True
        return True

    def pause_writing(self) -> None:
        self._clear = False
        self._general().pause_writing()  # it has to know, should it be asked to write
        self._connection.writing(paused=True, now=self._monotonic())

    def resume_writing(self) -> None:
        self._general().resume_writing()
        self._connection.writing(paused=False, now=self._monotonic())

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._http is not None:
            self._http.connection_lost(exc)
        self._http = self._transport = None
        self._connection.front = self._connection.transport = self._seat  # no cycle is left: the collector freezes them
        self._connection.lost()
