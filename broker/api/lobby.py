"""Where a connection stays for as long as the fast path answers all that it asks: a bare socket in an epoll of ours.

The loop watches the epoll as one descriptor, so neither a new connection nor a request costs a task, a transport or a
turn of the loop. Half a head is kept here, and a head that is no HTTP, too long, or one too many is answered here. With
the first whole head that the fast path does not know, a connection moves out for good, to a transport and `front`.
The connections of a user are a crowd with an epoll of its own. Which crowd took least time in this second comes
first, and a look ends after a moment, so that a thousand connections of one user delay no other's. Who has hung up is
answered nothing, so nothing is worked out for him. The one invariant:
what was read here is answered here or handed on, whole and in order.
"""

from __future__ import annotations

import select
import socket
from functools import partial
from typing import TYPE_CHECKING

from broker.api.connection import plain_answer
from broker.api.crowd import AT_ONCE, Crowds
from broker.api.front import Front
from broker.api.heads import head_length
from broker.api.problems import RequestRefused
from broker.api.seat import Seat, has_hung_up

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from broker.api.connection import Connection, Connections
    from broker.api.crowd import Crowd
    from broker.api.hot import HotPath
    from broker.api.server import HttpServer
    from broker.api.shelter import Shelter
    from broker.api.turnstile import Turnstile

SAFE = b"GET "  # changes nothing (RFC 9110 section 9.2.1)
READ_BYTES = 1100  # more than the longest request that the fast path knows
LOOK_SECONDS = 0.0002  # of work between two turns of the loop: the general path has its turn, too
ACCEPT_SECONDS = 0.00015  # the same for those whom nobody knows yet
MOVE_SECONDS = 0.0005  # what a transport, a parser and an answer of the general path cost, about: it is their crowd's
ACCEPT_PAUSE_SECONDS = 1.0  # where descriptors or memory ran out


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
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._limits = connections.limits
        self._connections = connections
        self._hot = hot
        self._server = server
        self._shelter = shelter
        self._turnstile = turnstile
        self._crowds = Crowds(loop, _throw_out)
        self._entrance = self._crowds.add()  # of the endpoints, and of who was turned away
        self._seats: dict[int, Seat] = {}
        self._listening: dict[int, socket.socket] = {}
        self._open = False

    def open(self, listening: Sequence[socket.socket]) -> None:
        """Begin to accept."""
        for sock in listening:
            self._listening[sock.fileno()] = sock
            self._entrance.epoll.register(sock, select.EPOLLIN)
        self._open = True
        self._loop.add_reader(self._crowds.fileno(), self._look)

    def accept_no_more(self) -> None:
        """Leave who comes now to the next one who listens; who is here stays."""
        for number in self._listening:
            self._entrance.epoll.unregister(number)
        self._listening.clear()

    def close(self) -> None:
        """Look no more; nobody is left. May be called twice."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._crowds.fileno())
            self._crowds.close()

    def tick(self) -> None:
        """A second is over."""
        self._crowds.tick()

    def enter(self, sock: socket.socket) -> None:
        """Let in a connection that was accepted, or turn it away."""
        before = self._clock()
        seat = Seat(self, sock)
        self._seats[seat.fd] = seat
        connection = seat.connection = self._connections.admit(sock, seat)
        if self._seats.get(seat.fd) is not seat:  # turned away, and gone already
            return
        try:
            crowd = self._entrance if connection is None else self._crowds.of(connection.identity.uid)
            seat.join(crowd)
        except OSError:  # no descriptor for another crowd, no memory
            seat.abort()
            return
        if connection is not None:
            self._read(seat)  # who comes asks at once, as a rule
        crowd.spent_seconds += self._clock() - before

    def leave(self, seat: Seat) -> None:
        """Close, unless it has moved."""
        if self._seats.get(seat.fd) is not seat:  # the number may be another's by now
            return
        self._vacate(seat)
        seat.crowd = None
        seat.sock.close()  # which takes it out of its crowd's epoll
        connection, seat.connection = seat.connection, None
        if connection is None:
            self._connections.forget_refused(seat)
        else:
            self._connections.remove(connection)

    def move(self, seat: Seat, connection: Connection) -> None:
        """Give a connection, with what was read and not answered, to a transport of the loop."""
        if seat.crowd is not None:
            seat.crowd.spent_seconds += MOVE_SECONDS
        seat.disregard()
        self._vacate(seat)
        front = Front(
            connection,
            seat,
            hot=self._hot,
            server=self._server,
            turnstile=self._turnstile,
            monotonic=self._loop.time,
        )
        connection.front, seat.connection = front, None
        self._shelter.start(self._move(connection, front, seat))

    async def _move(self, connection: Connection, front: Front, seat: Seat) -> None:
        await self._turnstile.enter(connection.identity.uid)  # a transport and a parser cost as much as a request
        try:
            if front.unread.startswith(SAFE) and has_hung_up(seat.sock):
                raise ConnectionResetError  # nobody is there to be answered
            await self._loop.connect_accepted_socket(lambda: front, seat.sock)
        except OSError:  # that; no memory, no room in the loop's epoll
            seat.sock.close()
            connection.front = seat  # no cycle is left: the collector freezes them
            self._connections.remove(connection)

    def _vacate(self, seat: Seat) -> None:
        del self._seats[seat.fd]
        if seat.crowd is not None:
            seat.crowd.seats -= 1
            if not seat.crowd.seats:
                self._connections.wake()  # for the tick that ends it

    def _look(self) -> None:
        """Something is ready: who cost least comes first, then who has just come, for nobody knows yet who that is.

        Where there are several, one of each is heard.
        """
        crowds = self._crowds.ready()
        entrance = self._entrance in crowds
        most = AT_ONCE if len(crowds) <= 1 + entrance else 1
        if entrance:
            crowds.remove(self._entrance)
            crowds.insert(1, self._entrance)
        now = self._clock()
        until = now + LOOK_SECONDS
        for place, crowd in enumerate(crowds):
            if crowd is self._entrance:
                now = self._look_at_the_entrance(now + ACCEPT_SECONDS)
            else:
                now = self._look_at(crowd, most, now, until)
            if now > until and place:  # the first may take it all, and who has just come is let in all the same
                return

    def _look_at(self, crowd: Crowd, most: int, before: float, until: float) -> float:
        """Read what these have said, until `until`; the time now."""
        for number in crowd.ready(most):
            seat = self._seats.get(number)
            if seat is not None:  # not closed a moment ago
                self._read(seat)
            now = self._clock()
            crowd.spent_seconds += now - before
            before = now
            if now > until:
                break
        return before

    def _look_at_the_entrance(self, until: float) -> float:
        """Let in who waits there, until `until`; the time now."""
        for number in self._entrance.ready(AT_ONCE):
            listening = self._listening.get(number)
            if listening is not None:
                self._accept(listening, until)
            elif (seat := self._seats.get(number)) is not None:
                self.leave(seat)  # who was turned away has said something, or is gone: it is not looked at
        return self._clock()

    def _read(self, seat: Seat) -> None:
        try:
            data = seat.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection = seat.connection
        if not data or connection is None:
            self.leave(seat)
        elif seat.unread or not self._hot.answer(connection, data):
            seat.unread += data
            self._sort(seat, connection)

    def _sort(self, seat: Seat, connection: Connection) -> None:
        """What came is half a request, or one that is not known here, or more than one."""
        seat.unread = unread = seat.unread.lstrip(b"\r\n")
        try:
            length = head_length(unread, self._limits)
        except RequestRefused as refusal:
            self._refuse(seat, connection, refusal)
            return
        if not length:
            if unread:
                connection.received(self._loop.time(), None)
            seat.heed()
            return
        if (too_fast := connection.too_fast) is not None:  # not worth a transport, nor a parser
            self._refuse(seat, connection, too_fast)
            return
        seat.unread = unread[length:]
        if not self._hot.answer(connection, unread[:length]):
            seat.unread = unread
            if unread.startswith(SAFE) and has_hung_up(seat.sock):
                self.leave(seat)  # nobody is there to be answered
                return
            self.move(seat, connection)
        elif seat.connection is connection:  # and was not closed
            self._go_on_with(seat, connection)

    def _go_on_with(self, seat: Seat, connection: Connection) -> None:
        """A request was answered: the next of a pipeline counts as one that is not known, and has to wait its turn."""
        connection.unfinished = False
        if not seat.unread:
            seat.heed()
        else:
            seat.disregard()
            connection.count()
            self._turnstile.later(connection.identity.uid, partial(self._sort_again, seat, connection))

    def _sort_again(self, seat: Seat, connection: Connection) -> None:
        if seat.connection is connection:
            self._sort(seat, connection)

    def _refuse(self, seat: Seat, connection: Connection, refusal: RequestRefused) -> None:
        connection.limited(refusal)
        self._crowds.refuse(seat, connection, refusal)

    def _accept(self, listening: socket.socket, until: float) -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            self.enter(sock)
            if self._clock() > until:
                return

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Accept nobody for a moment, as asyncio does: whoever waits would wake us again and again."""
        self._loop.call_exception_handler({"message": "socket.accept() out of system resource", "exception": error})
        self._entrance.epoll.modify(listening, 0)
        self._loop.call_later(ACCEPT_PAUSE_SECONDS, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening.fileno() in self._listening:
            self._entrance.epoll.modify(listening, select.EPOLLIN)


def _throw_out(seat: Seat, refusal: RequestRefused) -> None:
    seat.write(plain_answer(refusal))
    seat.read_away()
    seat.close()
