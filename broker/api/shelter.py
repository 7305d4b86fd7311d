"""Where a request that changes something runs to its end, although its client hung up.

The one home of tasks in the API. The one invariant: no task begun here is left behind when `drain` has ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Shelter:
    """Runs steps shielded from the cancellation of whoever waits for them."""

    def __init__(self, on_bug: Callable[[BaseException], None]) -> None:
        self._on_bug = on_bug
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self, step: Coroutine[object, object, T]) -> T:
        """Run `step`; when the waiter is cancelled the step goes on."""
        task = self.start(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._tell)
            raise

    def start(self, step: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Begin `step` as a task of ours; the caller sees to its end."""
        task = asyncio.get_running_loop().create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, seconds: float) -> None:
        """Wait so long for what is running, then cancel it."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _tell(self, task: asyncio.Task[T]) -> None:
        """Nobody waits any more: an expected failure is in the account's state, a bug must still be told."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, BrokerError):
            self._on_bug(error)
