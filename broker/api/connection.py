"""One client connection and all of them: admission, deadlines, what is in flight. Whatever protocol is spoken on it.

Knows no aiohttp. The one invariant: a connection that is waited for has a deadline; one whose request is being
worked on has none but its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from broker.api.hot import is_whole
from broker.api.limits import Shares
from broker.api.names import Names
from broker.api.peer import Identity
from broker.api.problems import RequestRefused, reason_phrase, render, retry_after
from broker.errors import Code, Remedy

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Iterator

    from broker.api.front import Front
    from broker.api.hot import Caller
    from broker.api.limits import Limits, Share
    from broker.api.seat import Seat
    from broker.core.access import Peer

MAX_REFUSALS = 64
MAX_PLAIN_ANSWERS = 64
_plain_answers: dict[tuple[str, int | None], bytes] = {}


class Wire(Protocol):
    """What is asked of a transport, or of a seat in the lobby."""

    def write(self, data: bytes, /) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Connection:
    """A connection that was let in; times are the loop's monotonic seconds."""

    __slots__ = (
        "_all",
        "caller",
        "deadline",
        "ends",
        "front",
        "half_closed",
        "identity",
        "in_flight",
        "requests",
        "requests_seen",
        "share",
        "transport",
        "unfinished",
        "whole",
        "writing_paused",
    )

    def __init__(self, connections: Connections, identity: Identity, share: Share, seat: Seat, now: float) -> None:
        self._all = connections
        self.identity = identity
        self.share = share
        self.transport: Wire = seat
        self.front: Front | Seat = seat
        self.in_flight: asyncio.Task[object] | None = None
        self.requests = 0
        self.requests_seen = 0
        self.half_closed = False
        self.writing_paused = False
        self.caller: Caller | None = None
        self.whole: bytes | None = None
        self.ends = False
        self.unfinished = False
        self.deadline = now + connections.limits.idle_seconds

    @property
    def limits(self) -> Limits:
        """The bounds that hold for every connection."""
        return self._all.limits

    @property
    def bare_peer(self) -> Peer:
        """The peer by its ids alone, for the audit of what was refused before any rule was asked."""
        return self.identity.bare_peer

    def limited(self, refusal: RequestRefused) -> None:
        """Tell that this client ran into a limit, and count it as a request: it cost as much."""
        self._all.limited(self, refusal)

    @property
    def too_fast(self) -> RequestRefused | None:
        """The refusal where this user asks too often now."""
        wait = self._all.wait_seconds(self)
        return too_many_requests(wait) if wait else None

    def count(self) -> None:
        """Count a request that the fast path answered as one that it did not."""
        self._all.shares.take(self.share, self._all.now())

    def lost(self) -> None:
        """It is closed."""
        self._all.remove(self)

    @property
    def overdue(self) -> RequestRefused | None:
        """What the deadline was for; None: for the next request, which nobody has to make."""
        if self.writing_paused:
            return UNREAD
        return UNFINISHED if self.unfinished and self.in_flight is None else None

    def received(self, now: float, first: bytes | None) -> None:
        """Bytes came: where no request is being worked on, its head must be complete within the header time.

        `first` is the head of a request that came whole; None: a part of one, or of a body.
        """
        self.whole = first if first is not None and is_whole(first) else None
        self.unfinished = True
        self.note_requests(now)
        if self.in_flight is None:
            self.deadline = min(self.deadline, now + self._all.limits.header_seconds)

    def begin(self, task: asyncio.Task[object] | None) -> None:
        """A request is being worked on."""
        self.in_flight = task
        self.unfinished = False
        self.requests += 1
        self.requests_seen = self.requests
        self.share.in_flight += 1
        self.deadline = math.inf

    def end(self, now: float) -> None:
        """The request has its answer."""
        self.in_flight = None
        self.share.in_flight -= 1
        self.deadline = now + self._all.limits.idle_seconds
        self._all.wake()

    def note_requests(self, now: float) -> None:
        """Count the idle time anew where the fast path has answered since: it only counts its requests."""
        if self.requests_seen != self.requests:
            self.requests_seen = self.requests
            if self.in_flight is None and not self.writing_paused:
                self.deadline = now + self._all.limits.idle_seconds

    def writing(self, *, paused: bool, now: float) -> None:
        """The client does not read (or does again): it has the write time to do so."""
        self.writing_paused = paused
        if paused:
            self.deadline = now + self._all.limits.write_seconds
        else:
            self.deadline = math.inf if self.in_flight is not None else now + self._all.limits.idle_seconds
        self._all.wake()


class Connections:
    """All connections; lets in, counts, and closes the overdue at every tick. `wake` asks for ticks, while needed."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float], wake: Callable[[], None]) -> None:
        self.limits = limits
        self.shares = Shares(limits)
        self.refused = 0
        self.on_limited: Callable[[Peer, RequestRefused], None] = lambda _peer, _refusal: None
        self.wake = wake
        self.now = monotonic
        self.names = Names(monotonic)
        self._open: set[Connection] = set()
        self._refusing: set[Seat] = set()
        self._drained: asyncio.Future[None] | None = None

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, sock: socket.socket, seat: Seat) -> Connection | None:
        """Let a connection in; None: it was answered 429 and is being closed, or has gone already."""
        now = self.now()
        self.wake()
        try:
            identity = Identity(sock, self.names)
        except OSError:  # gone already
            seat.abort()
            return None
        share = self.shares.connect(identity.uid, now)
        if share is None:
            self.on_limited(identity.bare_peer, TOO_MANY_CONNECTIONS)
            self._turn_away(seat, TOO_MANY_CONNECTIONS)
            return None
        connection = Connection(self, identity, share, seat, now)
        self._open.add(connection)
        return connection

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        self.shares.disconnect(connection.share)
        if not self._open and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def forget_refused(self, seat: Seat) -> None:
        """Forget a connection that was turned away."""
        self._refusing.discard(seat)

    def tick(self) -> bool:
        """Close what is overdue, and what was turned away and did not go; whether another tick is needed."""
        now = self.now()
        for connection in self:
            connection.note_requests(now)
            if connection.deadline <= now:
                if (refusal := connection.overdue) is not None:
                    self.limited(connection, refusal)
                connection.transport.abort()
        for seat in tuple(self._refusing):
            seat.abort()
        return any(connection.deadline < math.inf for connection in self)

    def drained(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done when no connection is open."""
        self._drained = loop.create_future()
        if not self._open:
            self._drained.set_result(None)
        return self._drained

    def abort_all(self) -> None:
        """Close every connection now, whatever it does."""
        self.names.close()
        for connection in self:
            connection.transport.abort()
        for seat in tuple(self._refusing):
            seat.abort()

    def limited(self, connection: Connection, refusal: RequestRefused) -> None:
        """Tell that a client ran into a limit, and count it as a request."""
        self.shares.take(connection.share, self.now())
        self.on_limited(connection.bare_peer, refusal)

    def wait_seconds(self, connection: Connection) -> float:
        """Until this user may ask again; 0.0: at once."""
        return self.shares.wait(connection.share, self.now())

    def _turn_away(self, seat: Seat, refusal: RequestRefused) -> None:
        """Answer 429 before the question, and close once the question is there (or at the next tick)."""
        self.refused += 1
        if len(self._refusing) >= MAX_REFUSALS:
            seat.abort()
            return
        self._refusing.add(seat)
        seat.write(plain_answer(refusal))
        seat.write_eof()


def plain_answer(error: RequestRefused) -> bytes:
    """A whole HTTP/1.1 answer that closes its connection, for where no HTTP server is at work yet."""
    key = error.message, retry_after(error)  # a crowd is told the same thing again and again
    known = _plain_answers.get(key)
    if known is None:
        if len(_plain_answers) >= MAX_PLAIN_ANSWERS:
            _plain_answers.clear()
        known = _plain_answers[key] = _written(*render(error))
    return known


def _written(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason_phrase(status)}", *(f"{k}: {v}" for k, v in headers.items())]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def too_many_requests(wait_seconds: float) -> RequestRefused:
    """The refusal of a user who asks too often, or too much at once."""
    return RequestRefused(
        "too many requests of this user; this one was not looked at, and the connection is closed",
        status=429,
        code=Code.RATE_LIMITED,
        remedy=Remedy.RETRY,
        retry_after_seconds=wait_seconds,
    )


TOO_MANY_CONNECTIONS = RequestRefused(
    "too many connections of this user, or of all; this one is closed",
    status=429,
    code=Code.RATE_LIMITED,
    remedy=Remedy.RETRY,
    retry_after_seconds=1,
    hint="close idle connections, or reuse one",
)
UNFINISHED = RequestRefused("the head of a request did not arrive in time; the connection was closed", status=408)
UNREAD = RequestRefused("the client did not read its answer in time; the connection was closed", status=408)
