"""One connection of the Unix socket as asyncio sees it, once it asked what the lobby does not know: aiohttp behind it.

aiohttp is handed one request at a time: what follows a head waits here until that is answered, unless it is its body;
and an answer to a request with a body ends the connection. So nothing is ever left with aiohttp when the fast path is
asked, and a pipeline costs a parser no more than its first request. The one invariant: aiohttp sees a connection's
bytes whole and in order.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from broker.api.connection import plain_answer
from broker.api.heads import announces_body, head_length
from broker.api.problems import RequestRefused
from broker.api.seat import has_hung_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.api.connection import Connection
    from broker.api.general import HttpConnection
    from broker.api.hot import HotPath
    from broker.api.seat import Seat
    from broker.api.server import HttpServer
    from broker.api.turnstile import Turnstile


UNSENT_BYTES = 4096  # of answers that the client leaves no room for, before the next request is worked on
READ_BYTES = 4096  # at a time, of a connection: so much work, and memory, at most before the others have their turn
MUCH_BYTES = 1024  # more than an ordinary request: libuv would read on, 32 times, before anybody else has a turn
_buffer = memoryview(bytearray(READ_BYTES))  # one for all: what came is copied out before anybody else reads


class Front(asyncio.BufferedProtocol):
    """The protocol of one connection, which has left its seat in the lobby with what was read there."""

    __slots__ = (
        "_answering",
        "_connection",
        "_hot",
        "_http",
        "_monotonic",
        "_seat",
        "_server",
        "_transport",
        "_turnstile",
        "_waiting",
        "unread",
    )

    def __init__(
        self,
        connection: Connection,
        seat: Seat,
        *,
        hot: HotPath,
        server: HttpServer,
        turnstile: Turnstile,
        monotonic: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._seat = seat
        self._hot = hot
        self._server = server
        self._turnstile = turnstile
        self._monotonic = monotonic
        self._transport: asyncio.Transport | None = None
        self._http: HttpConnection | None = None
        self._answering = False
        self._waiting = False  # for its turn, with a whole request
        self.unread = seat.unread

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin where the lobby ended."""
        self._transport = self._connection.transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNSENT_BYTES)
        if self._seat.unsent:
            self._transport.write(self._seat.unsent)
        if self._seat.ending:
            self._transport.close()
        elif self.unread:
            self._hand_on()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        connection = self._connection
        if self._answering:
            self._take_behind(data)
        elif self.unread or connection.writing_paused or not self._hot.answer(connection, data):
            self.unread += data
            self._hand_on()
        if len(data) > MUCH_BYTES or len(self.unread) > READ_BYTES:
            self._wait_for_turn()

    def answered(self) -> None:
        """An answer of aiohttp is out, and the connection goes on: whatever follows is a request."""
        self._answering = False
        if self.unread:
            self._waiting = True
            self._turnstile.later(self._connection.identity.uid, self._hand_on)

    def _take_behind(self, data: bytes) -> None:
        """What follows a request that is being worked on: its body, or the next one, which waits."""
        if self._connection.ends:
            self._connection.received(self._monotonic(), None)
            self._general().data_received(data)
        else:
            self.unread += data

    def _hand_on(self) -> None:
        """Give the next request, if it is whole, to whom it concerns."""
        self._waiting = False
        if self._answering or self._connection.writing_paused or not self._is_open():
            return
        connection = self._connection
        self.unread = self.unread.lstrip(b"\r\n")
        try:
            length = head_length(self.unread, connection.limits)
        except RequestRefused as refusal:
            self._refuse(refusal)
            return
        if not length:
            connection.received(self._monotonic(), None)
            return
        head, self.unread = self.unread[:length], self.unread[length:]
        connection.unfinished = False
        self._read_on()
        if not self.unread and self._hot.answer(connection, head):
            return
        connection.received(self._monotonic(), head)
        connection.ends = announces_body(head)
        self._answering = True
        general = self._general()
        general.data_received(head)
        if connection.ends and self.unread:
            body, self.unread = self.unread, b""
            general.data_received(body)

    def _refuse(self, refusal: RequestRefused) -> None:
        assert self._transport is not None
        self._connection.limited(refusal)
        self._transport.write(plain_answer(refusal))
        self._transport.close()

    def _wait_for_turn(self) -> None:
        """Read no more until it is this user's turn: what follows costs the others as much again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._turnstile.later(self._connection.identity.uid, self._read_on)

    def _read_on(self) -> None:
        transport, http = self._transport, self._http
        if transport is None or transport.is_closing() or transport.is_reading():
            return
        if (http is not None and http.holding) or (self._answering and len(self.unread) > READ_BYTES):
            return  # either says so itself when there is room again
        transport.resume_reading()

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _general(self) -> HttpConnection:
        """The half that is aiohttp's, made when it is needed first."""
        if self._http is None:
            assert self._transport is not None
            self._http = self._server.connect(self._connection, self._transport)
        return self._http

    @property
    def busy(self) -> bool:
        """Whether a request is being worked on, or was read and is about to be."""
        return (
            self._transport is None or self._answering or self._waiting or (self._http is not None and self._http.busy)
        )

    def close(self) -> None:
        """Close the connection, which is not busy."""
        if self._http is not None:
            self._http.force_close()
        elif self._transport is not None:
            self._transport.close()

    def eof_received(self) -> bool | None:
        """Keep a connection that only said it will send no more, as `nc -N` does, until its answer is out."""
        if self._transport is None or not self.busy:
            return None
        if has_hung_up(self._transport.get_extra_info("socket")):
            return None
        self._connection.half_closed = True
        return True

    def pause_writing(self) -> None:
        self._general().pause_writing()  # it has to know, should it be asked to write
        self._connection.writing(paused=True, now=self._monotonic())

    def resume_writing(self) -> None:
        self._general().resume_writing()
        self._connection.writing(paused=False, now=self._monotonic())
        if self.unread:
            self._turnstile.later(self._connection.identity.uid, self._hand_on)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._http is not None:
            self._http.connection_lost(exc)
        self._http = self._transport = None
        self.unread = b""
        self._connection.front = self._connection.transport = self._seat  # no cycle is left: the collector freezes them
        self._connection.lost()
