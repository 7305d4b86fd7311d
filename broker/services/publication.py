"""The published file of one ticket: what stands in it is the ticket that callers would get, or there is none.

Level-triggered: `follow` compares what is published with what should be. The one invariant: a file outlives its
ticket's validity by no more than a sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import StoreError

if TYPE_CHECKING:
    from broker.ports import Events, Publisher, Worker
    from broker.services.page import HeldTicket

UNKNOWN = -1  # a file of an earlier process may be there


class Publication:
    """Keeps one published file true."""

    __slots__ = ("_events", "_generation", "_name", "_publisher", "_worker")

    def __init__(self, name: str, *, publisher: Publisher, worker: Worker, events: Events) -> None:
        self._name = name
        self._publisher = publisher
        self._worker = worker
        self._events = events
        self._generation: int | None = UNKNOWN

    async def follow(self, held: HeldTicket | None) -> None:
        """Make the file say this ticket; None: there is to be no file."""
        wanted = None if held is None else held.generation
        if wanted == self._generation:
            return
        self._generation = wanted
        if held is None:
            await self._worker.run(lambda: self._publisher.withdraw(self._name))
            return
        try:
            await self._worker.run(lambda: self._publisher.publish(self._name, held.ticket))
        except StoreError as error:
            self._events.emit("publish.failed", ticket=self._name, detail=error.message)
