"""When to look at which ticket again, and which of them wait for leave to be fetched.

Knows nothing of tickets but these two facts. A look that comes too early costs a little; the one invariant: a ticket
is never looked at later than its last `look_at` said, and what is queued is started in the order in which it came.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import Generic, Protocol, TypeVar

STALE_ENTRIES = 64  # the heap may hold so many entries that no longer count, and as many again as those that do
AT_ONCE = 256  # stale entries dropped in one turn of the loop, in half a millisecond


class Looked(Protocol):
    """What stands on an agenda. `look_at_seconds` is on the boot clock; both fields belong to the agenda."""

    look_at_seconds: float
    queued: bool


T = TypeVar("T", bound=Looked)


class Agenda(Generic[T]):
    """The looks and the queues of one account's tickets."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._pushed = 0
        self._bound = STALE_ENTRIES
        self._urgent: deque[T] = deque()
        self._ready: deque[T] = deque()

    def look_at(self, item: T, boot_seconds: float) -> None:
        """Look at it then, whatever was said before."""
        if item.look_at_seconds == boot_seconds:
            return
        item.look_at_seconds = boot_seconds
        if math.isinf(boot_seconds):
            return
        self._pushed += 1
        heapq.heappush(self._heap, (boot_seconds, self._pushed, item))
        if len(self._heap) > self._bound:
            self._heap = [entry for entry in self._heap if entry[2].look_at_seconds == entry[0]]
            heapq.heapify(self._heap)
            self._bound = 2 * len(self._heap) + STALE_ENTRIES

    def next_look(self) -> float:
        """When, on the boot clock, somebody must be looked at; infinite for never."""
        self.drop_stale(len(self._heap))
        return self._heap[0][0] if self._heap else math.inf

    def drop_stale(self, most: int = AT_ONCE) -> bool:
        """Drop so many entries at the head that no longer count; whether there may be more of them."""
        for _ in range(most):
            if not self._heap or self._heap[0][2].look_at_seconds == self._heap[0][0]:
                return False
            heapq.heappop(self._heap)
        return True

    def take_look(self, boot_seconds: float) -> T | None:
        """Somebody who is to be looked at by now; None where nobody is."""
        if self.next_look() > boot_seconds:
            return None
        item = heapq.heappop(self._heap)[2]
        item.look_at_seconds = math.inf
        return item

    # those that wait for leave

    def queue(self, item: T, *, urgent: bool) -> None:
        """It is due; `urgent`: somebody waits for it."""
        if item.queued and not urgent:
            return
        item.queued = True
        (self._urgent if urgent else self._ready).append(item)

    def waiting(self, *, urgent: bool) -> bool:
        """Whether somebody stands in that queue."""
        return bool(self._urgent if urgent else self._ready)

    def take_queued(self, *, urgent: bool) -> T:
        """The first of a queue that is not empty."""
        item = (self._urgent if urgent else self._ready).popleft()
        item.queued = False
        return item

    def clear(self) -> None:
        """Forget everybody."""
        self._heap.clear()
        self._urgent.clear()
        self._ready.clear()
