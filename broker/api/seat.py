"""A connection's place in the lobby: its socket, and as much of a transport and of a front as is asked of one there.

Knows the lobby only to leave it. The one invariant: what was read and not answered is in `unread`, what was answered
and not sent is in `unsent`; whoever takes the connection on takes both.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.api.connection import Connection
    from broker.api.crowd import Crowd
    from broker.api.lobby import Lobby

_waste = bytearray(65536)


def has_hung_up(sock: socket.socket) -> bool:
    """Whether the client has closed altogether; one that will only send no more waits for its answer."""
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    return bool(poll.poll(0))  # POLLHUP


class Seat:
    """One place; `connection` None: it was turned away, and only waits to be closed."""

    __slots__ = ("_lobby", "connection", "crowd", "ending", "fd", "heeded", "sock", "unread", "unsent")

    def __init__(self, lobby: Lobby, sock: socket.socket) -> None:
        self._lobby = lobby
        self.sock = sock
        self.fd = sock.fileno()
        self.connection: Connection | None = None
        self.crowd: Crowd | None = None
        self.heeded = False
        self.unread = b""
        self.unsent = b""
        self.ending = False

    @property
    def busy(self) -> bool:
        """Whether a request was read that waits for its turn."""
        return bool(self.unread) and not self.heeded

    def join(self, crowd: Crowd) -> None:
        """Be one of these, from now on."""
        self.crowd = crowd
        crowd.seats += 1
        self.heed()

    def heed(self) -> None:
        """See when something comes."""
        if self.crowd is not None and not self.heeded:
            self.heeded = True
            self.crowd.epoll.register(self.fd, select.EPOLLIN)

    def disregard(self) -> None:
        """See nothing, not even that the client hung up."""
        if self.crowd is not None and self.heeded:
            self.heeded = False
            self.crowd.epoll.unregister(self.fd)

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
            self._lobby.move(self, self.connection)

    def write_eof(self) -> None:
        """Say that nothing follows."""
        with suppress(OSError):  # the client is gone
            self.sock.shutdown(socket.SHUT_WR)

    def read_away(self) -> None:
        """Drop what was sent and not read: the client would see a reset beside its answer."""
        with suppress(OSError):
            self.sock.recv_into(_waste, flags=socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close; while it moves: as soon as it has moved."""
        self.ending = True
        self._lobby.leave(self)

    abort = close

    def answered(self) -> None:
        """Nobody waits for that: the connection is closed."""
