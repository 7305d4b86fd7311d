"""The work that requests set off, each a task of its own, and how it ends when the broker stops.

Knows no request and no token. The one invariant: a token request that was sent is waited for, as its answer may be the
only login; and for no longer than the service manager was told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS_END_SECONDS = 3.5  # of the 5 s that a stop takes otherwise
STOP_SECONDS = 30.0  # a whole stop with a token request in flight, from its first moment
EXCHANGES_END_SECONDS = 25.0  # since the stop began; a token request takes at most 20 s
SAVE_SECONDS = 2.0  # for what it brought
CANCEL_SECONDS = 1.0


class Exchanges(Protocol):
    """The worker of token requests."""

    @property
    def busy(self) -> bool:
        """Whether one is in flight."""

    async def drained(self, seconds: float) -> bool:
        """Wait for those in flight; whether they have ended."""


class Flights:
    """Tasks that outlive who asked for them; `extend` asks the service manager for so many seconds from now."""

    def __init__(self, exchanges: Exchanges, extend: Callable[[float], None]) -> None:
        self._exchanges = exchanges
        self._extend = extend
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """One more, until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self) -> None:
        """Give calls a moment, and a token request the time it needs; then cancel what is left."""
        began = asyncio.get_running_loop().time()
        self._ask(STOP_SECONDS)
        await self._flown(CALLS_END_SECONDS)
        left = began + STOP_SECONDS - asyncio.get_running_loop().time()
        if self._ask(left):  # it may have begun in that moment; and then it has been told nothing yet
            await self._exchanges.drained(left - STOP_SECONDS + EXCHANGES_END_SECONDS)
            await self._flown(SAVE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await self._flown(CANCEL_SECONDS)

    def _ask(self, seconds: float) -> bool:
        """Ask for time, where a token request is in flight; whether one is."""
        busy = self._exchanges.busy
        if busy:
            self._extend(seconds)
        return busy

    async def _flown(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
