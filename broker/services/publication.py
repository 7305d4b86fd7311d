"""The published file of one ticket: what stands in it is the ticket that callers would get, or there is none.

Level-triggered: `follow` compares what is published with what should be. A disk that refuses is told once and asked
again, and never stops anybody. The one invariant: a file outlives its ticket's validity by no more than a sweep.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from broker.errors import StoreError

if TYPE_CHECKING:
    from broker.ports import Events, Publisher, Worker
    from broker.services.page import HeldTicket

UNKNOWN = -1  # a file of an earlier process may be there, or one that the disk did not let us replace
AGAIN_SECONDS = 5.0  # between two attempts at a file that the disk refused


class Publication:
    """Keeps one published file true."""

    __slots__ = ("_events", "_generation", "_lock", "_name", "_publisher", "_worker", "refused")

    def __init__(self, name: str, *, publisher: Publisher, worker: Worker, events: Events) -> None:
        self._name = name
        self._publisher = publisher
        self._worker = worker
        self._events = events
        self._generation: int | None = UNKNOWN
        self.refused: StoreError | None = None  # why the file is not what it should be
        self._lock = asyncio.Lock()  # a file is not withdrawn while an older word about it is still being written

    async def follow(self, held: HeldTicket | None) -> None:
        """Make the file say this ticket; None: there is to be no file."""
        wanted = None if held is None else held.generation
        async with self._lock:
            if wanted == self._generation:
                return
            try:
                await self._worker.run(lambda: self._write(held))
            except StoreError as error:
                self._note_refusal(error)
            else:
                self._generation, self.refused = wanted, None

    def again_in(self) -> float:
        """Seconds until a file that was refused is tried again; infinite where none was."""
        return math.inf if self.refused is None else AGAIN_SECONDS

    def _write(self, held: HeldTicket | None) -> None:
        """Blocking. Where the new ticket cannot be published the old file goes: it would outlive its ticket."""
        if held is None:
            self._publisher.withdraw(self._name)
            return
        try:
            self._publisher.publish(self._name, held.ticket)
        except StoreError:
            self._publisher.withdraw(self._name)
            raise

    def _note_refusal(self, error: StoreError) -> None:
        self._generation = UNKNOWN
        if self.refused is None:
            self._events.emit("publish.failed", ticket=self._name, detail=error.message, hint=error.hint)
        self.refused = error
