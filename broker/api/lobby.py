"""Where a connection stays for as long as the fast path answers all that it asks: a bare socket in an epoll of ours.

The loop watches the epoll as one descriptor, so neither a new connection nor a request costs a task, a transport or a
turn of the loop. With the first bytes that the fast path does not know, a connection moves out for good, to a
transport and `front`. The one invariant: what was read here is answered here or handed on, whole and in order.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.api.connection import plain_answer
from broker.api.front import Front

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from broker.api.connection import Connection, Connections
    from broker.api.hot import HotPath
    from broker.api.server import HttpServer
    from broker.api.shelter import Shelter
    from broker.api.turnstile import Turnstile

READ_BYTES = 2048  # more than the longest request that the fast path knows
AT_ONCE = 64  # requests, or new connections, between two turns of the loop: the general path has its turn, too
ACCEPT_PAUSE_SECONDS = 1.0  # where descriptors or memory ran out


class Seat:
    """A connection's place: its socket, and as much of a transport and of a front as is asked of one here."""

    __slots__ = ("_lobby", "connection", "ending", "fd", "sock", "unsent")

    busy = False

    def __init__(self, lobby: Lobby, sock: socket.socket) -> None:
        self._lobby = lobby
        self.sock = sock
        self.fd = sock.fileno()
        self.connection: Connection | None = None
        self.unsent = b""
        self.ending = False

    def write(self, data: bytes) -> None:
        """Send; what the client leaves no room for is sent by the transport, to which it moves."""
        try:
            sent = self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:  # the client is gone; the next read says so
            return
        if sent < len(data) and self.connection is not None:
            self.unsent = data[sent:]
            self._lobby.move(self, self.connection, b"")

    def write_eof(self) -> None:
        """Say that nothing follows."""
        with suppress(OSError):  # the client is gone
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close; while it moves: as soon as it has moved."""
        self.ending = True
        self._lobby.leave(self)

    abort = close


class Lobby:
    """Accepts on its endpoints and answers by `hot` what it can; the rest it hands to fronts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Connections,
        hot: HotPath,
        *,
        server: HttpServer,
        shelter: Shelter,
        turnstile: Turnstile,
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._hot = hot
        self._server = server
        self._shelter = shelter
        self._turnstile = turnstile
        self._epoll = select.epoll()
        self._seats: dict[int, Seat] = {}
        self._listening: dict[int, socket.socket] = {}

    def open(self, listening: Sequence[socket.socket]) -> None:
        """Begin to accept."""
        for sock in listening:
            self._listening[sock.fileno()] = sock
            self._epoll.register(sock, select.EPOLLIN)
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def accept_no_more(self) -> None:
        """Leave who comes now to the next one who listens; who is here stays."""
        for number in self._listening:
            self._epoll.unregister(number)
        self._listening.clear()

    def close(self) -> None:
        """Look no more; nobody is left. May be called twice."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def enter(self, sock: socket.socket) -> None:
        """Let in a connection that was accepted, or turn it away."""
        seat = Seat(self, sock)
        self._seats[seat.fd] = seat
        self._epoll.register(seat.fd, select.EPOLLIN)
        seat.connection = self._connections.admit(sock, seat)

    def leave(self, seat: Seat) -> None:
        """Close, unless it has moved."""
        if self._seats.get(seat.fd) is not seat:  # the number may be another's by now
            return
        del self._seats[seat.fd]
        seat.sock.close()  # which takes it out of the epoll
        connection, seat.connection = seat.connection, None
        if connection is None:
            self._connections.forget_refused(seat)
        else:
            self._connections.remove(connection)

    def move(self, seat: Seat, connection: Connection, data: bytes) -> None:
        """Give a connection, with what was read last, to a transport of the loop."""
        del self._seats[seat.fd]
        self._epoll.unregister(seat.fd)
        front = Front(
            connection,
            seat,
            data,
            hot=self._hot,
            server=self._server,
            turnstile=self._turnstile,
            monotonic=self._loop.time,
        )
        connection.front, seat.connection = front, None
        self._shelter.start(self._move(connection, front, seat.sock))

    async def _move(self, connection: Connection, front: Front, sock: socket.socket) -> None:
        await self._turnstile.enter(connection.identity.uid)  # a transport and a parser cost as much as a request
        try:
            await self._loop.connect_accepted_socket(lambda: front, sock)
        except OSError:  # no memory, no room in the loop's epoll
            sock.close()
            self._connections.remove(connection)

    def _look(self) -> None:
        """Something is ready."""
        for number, _ in self._epoll.poll(0, AT_ONCE):
            seat = self._seats.get(number)
            if seat is not None:
                self._read(seat)
            elif number in self._listening:
                self._accept(self._listening[number])

    def _read(self, seat: Seat) -> None:
        try:
            data = seat.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection = seat.connection
        if not data or connection is None:  # who was turned away has said something: it was not looked at
            self.leave(seat)
        elif self._hot.answer(connection, data):
            return
        elif (refusal := connection.too_fast) is not None:  # not worth a transport, nor a parser
            connection.limited(refusal)
            seat.write(plain_answer(refusal))
            seat.close()
        else:
            self.move(seat, connection, data)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            self.enter(sock)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Accept nobody for a moment, as asyncio does: whoever waits would wake us again and again."""
        self._loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
        self._epoll.modify(listening, 0)
        self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening.fileno() in self._listening:
            self._epoll.modify(listening, select.EPOLLIN)
