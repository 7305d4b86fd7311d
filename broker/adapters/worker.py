"""Worker threads: where blocking steps run to their end, whoever stops waiting for them.

Knows no step. The one invariant: a step that has begun is never abandoned; `drain` waits for it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class ThreadWorker:
    """A small pool of threads for one kind of step."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._steps: set[Future[Any]] = set()

    def run(self, step: Callable[[], T]) -> Awaitable[T]:
        """Run `step` in a thread; cancelling the wait does not stop it."""
        future = self._pool.submit(step)
        self._steps.add(future)
        future.add_done_callback(self._steps.discard)
        return asyncio.wrap_future(future)

    @property
    def busy(self) -> bool:
        """Whether some step is under way."""
        return bool(self._steps)

    def drain(self, seconds: float) -> bool:
        """Wait for the steps under way, blocking; whether they have ended."""
        return not wait(set(self._steps), timeout=seconds).not_done

    async def drained(self, seconds: float) -> bool:
        """The same without blocking the loop."""
        return await asyncio.to_thread(self.drain, seconds)

    def close(self) -> None:
        """Take no more steps; those under way end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
