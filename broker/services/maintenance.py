"""The sweep: asks what is due now, and starts it. Level-triggered, so nothing that was missed stays missed.

Knows the services, no scheduler. The one invariant: it starts work and never waits for the cloud.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.services.breath import breathe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.ports import Events
    from broker.services.account import Account
    from broker.services.logins import Logins
    from broker.services.timekeeper import Timekeeper

LONGEST_SECONDS = 30.0
SHORTEST_SECONDS = 0.05
ACCOUNTS_AT_ONCE = 8  # swept, or asked what is due, in one turn of the loop: half a millisecond


class Maintenance:
    """Sweeps all accounts."""

    def __init__(
        self,
        accounts: Callable[[], Mapping[str, Account]],
        *,
        logins: Logins,
        timekeeper: Timekeeper,
        events: Events,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._timekeeper = timekeeper
        self._events = events
        self._longest_seconds = longest_seconds
        self._upsets = 0

    async def sweep(self) -> float:
        """Start what is due; seconds until the next sweep, at most 30."""
        self._timekeeper.watch()
        self._end_leases_after_an_upset()
        for number, account in enumerate(list(self._accounts().values()), 1):
            await account.sweep(self._events)
            if number % ACCOUNTS_AT_ONCE == 0:
                await breathe()
        await self._logins.maintain(self._timekeeper.now())
        return await self._due_in()

    def _end_leases_after_an_upset(self) -> None:
        """What was promised by the boot clock may not hold: the machine may have been paused."""
        if self._timekeeper.upsets == self._upsets:
            return
        self._upsets = self._timekeeper.upsets
        for account in self._accounts().values():
            account.identity.token.end_lease()
            for ticket in account.tickets.values():
                ticket.ref.end_lease()

    async def _due_in(self) -> float:
        """Seconds until something is due, between the shortest and the longest pause; what changes meanwhile wakes."""
        now = self._timekeeper.now()
        due = min(self._longest_seconds, self._logins.due_in(now))
        for number, account in enumerate(list(self._accounts().values()), 1):
            due = min(due, account.due_in(now))
            if number % ACCOUNTS_AT_ONCE == 0:
                await breathe()
        return max(SHORTEST_SECONDS, due)
