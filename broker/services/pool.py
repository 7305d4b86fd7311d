"""Single-use tickets: a pool of them is kept ready, and one that was handed out is never handed out again.

The same service as a shared ticket, but for what is in hand and how it is given away. The one invariant: mark, save,
then answer: a ticket leaves the book on disk before it leaves the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import StoreUnavailable
from broker.services.tickets import TicketService

if TYPE_CHECKING:
    from broker.core.instant import Instant
    from broker.services.book import HeldTicket


class PoolService(TicketService):
    """Keeps `pool` single-use tickets and hands each out once."""

    async def get(
        self, *, min_validity_seconds: float, wait_seconds: float | None, newer_than: int | None
    ) -> HeldTicket:
        """A ticket that nobody else gets. Raises: StoreUnavailable (an unwritable disk), BrokerError."""
        held = await super().get(
            min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=newer_than
        )
        before = self.page.held  # no other task runs between the answer above and these lines
        self.page.held = tuple(other for other in before if other.generation != held.generation)
        self.ref.value = self._next_in_hand()
        if not await self._book.commit():
            self.page.held = (held, *self.page.held)
            self.ref.value = held
            why = "" if self._book.trouble is None else f": {self._book.trouble.message}"
            raise StoreUnavailable(
                f"ticket {self.name}: that it was handed out cannot be written down{why}",
                hint="single-use tickets need a writable state directory",
            )
        return held

    def _shelved(self, held: HeldTicket) -> tuple[HeldTicket, ...]:
        return (*self._valid(self._timekeeper.now()), held)

    def _valid(self, now: Instant) -> tuple[HeldTicket, ...]:
        return tuple(held for held in self.page.held if (held.life.remaining(now) or 0.0) > 0)

    def due_in(self, now: Instant, *, wanted: bool | None = None) -> float:
        """Seconds until an attempt should start: now, where the pool is not full."""
        due = super().due_in(now, wanted=wanted)
        if due <= 0 or due == float("inf") or self.ref.in_flight or len(self._valid(now)) >= self.config.pool:
            return due
        failed = 0.0 if self.ref.failure is None else self.ref.failure.next_attempt_in(now)
        return max(failed, self.calls.free_in(now, prefetch=True))

    def maintain(self, now: Instant) -> None:
        """Drop what has expired, then start what is due."""
        valid = self._valid(now)
        if len(valid) != len(self.page.held):
            self.page.held = valid
            self.ref.value = self._next_in_hand()
        super().maintain(now)
