"""The sweep: asks what is due now, and starts it. Level-triggered, so nothing that was missed stays missed.

Knows the services, no scheduler. The one invariant: it starts work and never waits for the cloud.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.ports import Events
    from broker.services.fleet import Account
    from broker.services.logins import Logins
    from broker.services.timekeeper import Timekeeper

LONGEST_SECONDS = 30.0
SHORTEST_SECONDS = 0.05


class Maintenance:
    """Sweeps all accounts."""

    def __init__(
        self,
        accounts: Callable[[], Mapping[str, Account]],
        *,
        logins: Logins,
        timekeeper: Timekeeper,
        events: Events,
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._timekeeper = timekeeper
        self._events = events

    async def sweep(self) -> float:
        """Start what is due; seconds until the next sweep, at most 30."""
        self._timekeeper.watch()
        now = self._timekeeper.now()
        for account in list(self._accounts().values()):
            await self._sweep_account(account)
        await self._logins.maintain(now)
        return self.due_in()

    async def _sweep_account(self, account: Account) -> None:
        now = self._timekeeper.now()
        await account.identity.maintain(now)
        if account.replan():
            self._events.emit("plan.changed", account=account.config.name, detail=account.plan.words)
        for ticket in list(account.tickets.values()):
            ticket.maintain(now)
            await ticket.expire(now)
        if account.book.unsaved:
            await account.book.commit()

    def due_in(self) -> float:
        """Seconds until something is due, between the shortest and the longest pause."""
        now = self._timekeeper.now()
        dues = [account.due_in(now) for account in self._accounts().values()]
        due = min([*dues, self._logins.due_in(now)])
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, due))
