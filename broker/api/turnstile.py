"""Taking turns: so much work of the general path in one turn of the loop; the rest waits, in a queue of each user.

Knows no request. The one invariant: of whoever waits, the users take turns, and each user's steps come in their order.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

STEPS_PER_TURN = 1  # a quarter of a millisecond: between two of them the fast path has its turn


class Turnstile:
    """Lets `places` steps through in each turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, places: int = STEPS_PER_TURN) -> None:
        self._loop = loop
        self._places = places
        self._left = places
        self._turning = False
        self._waiting: dict[int, deque[Callable[[], object]]] = {}  # by uid, who is next first

    async def enter(self, uid: int) -> None:
        """Go through, at once or when it is one's turn."""
        if self._left > 0 and not self._waiting:
            self._left -= 1
            self._begin()
            return
        place = self._loop.create_future()
        self.later(uid, partial(_let_through, place))
        await place

    def later(self, uid: int, step: Callable[[], object]) -> None:
        """Do `step` in one of the next turns."""
        self._waiting.setdefault(uid, deque()).append(step)
        self._begin()

    def _begin(self) -> None:
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turning, self._left = False, self._places
        while self._left > 0 and self._waiting:
            self._left -= 1
            uid = next(iter(self._waiting))
            steps = self._waiting.pop(uid)
            step = steps.popleft()
            if steps:
                self._waiting[uid] = steps  # behind the other users
            step()
        if self._waiting:
            self._begin()


def _let_through(place: asyncio.Future[None]) -> None:
    if not place.done():  # its client hung up
        place.set_result(None)
