"""The connections of a user as one crowd, with an epoll of its own; and all crowds, in the order of what they cost.

Knows no request. Who is thrown out at once is back at once: so many of a crowd in a second, the others wait for their
turn. The one invariant: a crowd costs the others as much, whether it is one connection or a thousand.
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from broker.api.connection import Connection
    from broker.api.problems import RequestRefused
    from broker.api.seat import Seat

MOST_CROWDS = 64  # that are put in order; of the rest some are seen at the next look
AT_ONCE = 16  # connections of a crowd in a look, where no other crowd has anything to say
REFUSALS_AT_ONCE = 16  # in a second, of a crowd
REFUSAL_SECONDS = 1 / 32  # between two of those who wait


class Crowd:
    """Those that are looked at together; `spent_seconds` and `refused` are what they took in this second."""

    __slots__ = ("epoll", "put_off", "refused", "seats", "spent_seconds")

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.seats = 0
        self.spent_seconds = 0.0
        self.refused = 0
        self.put_off: deque[tuple[Seat, Connection, RequestRefused]] = deque()

    def ready(self, most: int) -> list[int]:
        """The descriptors at which something is ready; of more than `most`, others each time."""
        return [number for number, _ in self.epoll.poll(0, most)]


class Crowds:
    """All of them; the loop watches `fileno`. `throw_out` answers a connection of the lobby, and closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, throw_out: Callable[[Seat, RequestRefused], None]) -> None:
        self._loop = loop
        self._throw_out = throw_out
        self._epoll = select.epoll()
        self._by_number: dict[int, Crowd] = {}
        self._of_uid: dict[int, Crowd] = {}
        self._pacing: asyncio.TimerHandle | None = None

    def fileno(self) -> int:
        """What is ready when somebody of some crowd is."""
        return self._epoll.fileno()

    def add(self) -> Crowd:
        """A new crowd."""
        crowd = Crowd()
        self._by_number[crowd.epoll.fileno()] = crowd
        self._epoll.register(crowd.epoll, select.EPOLLIN)
        return crowd

    def of(self, uid: int) -> Crowd:
        """The crowd of a user."""
        crowd = self._of_uid.get(uid)
        if crowd is None:
            crowd = self._of_uid[uid] = self.add()
        return crowd

    def ready(self) -> list[Crowd]:
        """Those at which something is ready, which cost least first."""
        crowds = [self._by_number[number] for number, _ in self._epoll.poll(0, MOST_CROWDS)]
        if len(crowds) > 1:
            crowds.sort(key=_spent_seconds)
        return crowds

    def refuse(self, seat: Seat, connection: Connection, refusal: RequestRefused) -> None:
        """Throw out, now or when it is its turn."""
        crowd = seat.crowd
        if crowd is None or crowd.refused < REFUSALS_AT_ONCE:
            self._throw_out_of(crowd, seat, refusal)
            return
        seat.disregard()
        seat.unread = b""
        crowd.put_off.append((seat, connection, refusal))
        if self._pacing is None:
            self._pacing = self._loop.call_later(REFUSAL_SECONDS, self._refuse_the_next)

    def tick(self) -> None:
        """A second is over: all are equal again, and crowds of nobody go."""
        for uid, crowd in tuple(self._of_uid.items()):
            crowd.spent_seconds, crowd.refused = 0.0, 0
            if not crowd.seats:
                del self._of_uid[uid], self._by_number[crowd.epoll.fileno()]
                crowd.put_off.clear()
                crowd.epoll.close()

    def close(self) -> None:
        """Watch nobody any more."""
        if self._pacing is not None:
            self._pacing.cancel()
        self._epoll.close()
        for crowd in self._by_number.values():
            crowd.epoll.close()

    def _refuse_the_next(self) -> None:
        """One of one crowd that waits; the crowds take turns."""
        self._pacing = None
        waiting = [uid for uid, crowd in self._of_uid.items() if crowd.put_off]
        if not waiting:
            return
        crowd = self._of_uid[waiting[0]] = self._of_uid.pop(waiting[0])  # behind the others
        while crowd.put_off:
            seat, connection, refusal = crowd.put_off.popleft()
            if seat.connection is connection:  # and not gone meanwhile
                self._throw_out_of(crowd, seat, refusal)
                break
        self._pacing = self._loop.call_later(REFUSAL_SECONDS / len(waiting), self._refuse_the_next)

    def _throw_out_of(self, crowd: Crowd | None, seat: Seat, refusal: RequestRefused) -> None:
        if crowd is not None:
            crowd.refused += 1
        self._throw_out(seat, refusal)


def _spent_seconds(crowd: Crowd) -> float:
    return crowd.spent_seconds
