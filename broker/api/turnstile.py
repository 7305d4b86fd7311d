"""Taking turns: one step of the general path in so many turns of the loop; the rest waits, in a queue of each user.

Knows no request. The one invariant: of whoever waits, the users take turns, and each user's steps come in their order.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

TURNS_OF_A_STEP = 5  # in which it goes on (transport, parser, answer): between any two the fast path has its turn


class Turnstile:
    """Lets one step through in `turns` turns of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turns: int = TURNS_OF_A_STEP) -> None:
        self._loop = loop
        self._turns = turns
        self._left = 0  # turns that belong to the last step
        self._waiting: dict[int, deque[Callable[[], object]]] = {}  # by uid, who is next first

    async def enter(self, uid: int) -> None:
        """Go through, at once or when it is one's turn."""
        if not self._left:
            self._begin()
            return
        place = self._loop.create_future()
        self.later(uid, partial(_let_through, place))
        await place

    def later(self, uid: int, step: Callable[[], object]) -> None:
        """Do `step` in one of the next turns."""
        self._waiting.setdefault(uid, deque()).append(step)
        if not self._left:
            self._begin()

    def _begin(self) -> None:
        self._left = self._turns
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._turn)
        elif self._waiting:
            self._begin()
            self._next()()

    def _next(self) -> Callable[[], object]:
        uid = next(iter(self._waiting))
        steps = self._waiting.pop(uid)
        step = steps.popleft()
        if steps:
            self._waiting[uid] = steps  # behind the other users
        return step


def _let_through(place: asyncio.Future[None]) -> None:
    if not place.done():  # its client hung up
        place.set_result(None)
