"""Single-use tickets: a pool of them is kept ready, and one that was handed out is never handed out again.

The same service as a shared ticket, but for what is in hand and how it is given away. The one invariant: mark, save,
then answer: a ticket leaves the book on disk before it leaves the process.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from broker.errors import StoreUnavailable
from broker.services.tickets import TicketService

if TYPE_CHECKING:
    from broker.core.instant import Instant
    from broker.services.page import HeldTicket


class PoolService(TicketService):
    """Keeps `pool` single-use tickets and hands each out once."""

    __slots__ = ()

    async def get(
        self,
        *,
        min_validity_seconds: float,
        wait_seconds: float | None,
        newer_than: int | None,  # noqa: ARG002 - every ticket is newer than any that was handed out
    ) -> HeldTicket:
        """A ticket that nobody else gets. Raises: StoreUnavailable (an unwritable disk), BrokerError."""
        await super().get(min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=None)
        return await self._give(min_validity_seconds)  # no other task runs between the answer above and the mark

    async def renew(self, refused_generation: int) -> HeldTicket:
        """The door refused one: another one. Raises: StoreUnavailable, BrokerError."""
        if self._newer(-1, self._timekeeper.now()) is None:
            await super().renew(refused_generation)
        return await self._give(0.0)

    async def _give(self, min_validity_seconds: float) -> HeldTicket:
        """Mark, save, then answer: the oldest that lives long enough."""
        now, page = self._timekeeper.now(), self.page
        long_enough = (each for each in page.held if self._left(each, now) >= min_validity_seconds)
        held = next(long_enough, page.held[-1])
        page.held = tuple(each for each in page.held if each is not held)
        self.ref.value = self._in_hand()
        saved = await self._book.commit(self.name)
        self._touch(self)
        if saved:
            return held
        if self.page is page:
            page.held = tuple(sorted((held, *page.held), key=lambda each: each.generation))  # oldest first, as before
            self._book.change(self.name)
            self.ref.value = self._in_hand()
        why = "" if self._book.trouble is None else f": {self._book.trouble.message}"
        raise StoreUnavailable(
            f"ticket {self.name}: that it was handed out cannot be written down{why}",
            hint="single-use tickets need a writable state directory",
        )

    def _shelved(self, held: HeldTicket) -> tuple[HeldTicket, ...]:
        now = self._timekeeper.now()
        return (*(each for each in self.page.held if self._left(each, now) > 0), held)

    def _left(self, held: HeldTicket, now: Instant) -> float:
        """Seconds for which it may still be handed out; not above 0 for never more."""
        left = held.life.remaining(now)
        return 0.0 if left is None else left - self.windows(held).mandatory_seconds

    def _own_due_in(self, now: Instant) -> float:
        """Until one of the pool grows old; now, where the pool is not full."""
        fresh = sorted(left for left in (self._fresh_for(held, now) for held in self.page.held) if left > 0)
        spare = len(fresh) - self.config.pool
        due = fresh[spare] if spare >= 0 else 0.0
        failed = 0.0 if self.ref.failure is None else self.ref.failure.next_attempt_in(now)
        return max(due, failed)

    def _fresh_for(self, held: HeldTicket, now: Instant) -> float:
        left = held.life.remaining(now)
        return -math.inf if left is None else left - self.windows(held).advisory_seconds

    async def look(self, now: Instant) -> tuple[bool, float]:
        """Drop what has expired, then as any ticket."""
        valid = tuple(held for held in self.page.held if (held.life.remaining(now) or 0.0) > 0)
        if len(valid) != len(self.page.held):
            self.page.held = valid
            self._book.change(self.name)
            self.ref.value = self._in_hand()
        return await super().look(now)
