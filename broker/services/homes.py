"""Plants and devices by discovery, for who sets the broker up: optional, never needed for a ticket.

Knows the catalogue port and the account's book. The one invariant: every call is counted before it is made, and the
cloud's word that none is left holds for tickets, too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from broker.core import quota
from broker.errors import QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.config import AccountConfig
    from broker.ports import HomeCatalogue
    from broker.services.fleet import Account
    from broker.services.timekeeper import Timekeeper

Row = dict[str, Any]
Entries = list[dict[str, str]]
MOST_PLANTS = 10


class Homes:
    """Lists the homes of an account; `catalogue_for` gives the way to its catalogue."""

    def __init__(self, catalogue_for: Callable[[AccountConfig], HomeCatalogue], *, timekeeper: Timekeeper) -> None:
        self._catalogue_for = catalogue_for
        self._timekeeper = timekeeper

    async def list(self, account: Account) -> list[Row]:
        """Every plant with its modules: one call, and one a plant. Raises: BrokerError."""
        token = (await account.identity.fresh_token()).token
        catalogue = self._catalogue_for(account.config)
        try:
            rows = []
            for plant in (await self._ask(account, lambda: catalogue.plants(token)))[:MOST_PLANTS]:
                modules = await self._ask(account, partial(catalogue.modules, plant["id"], token))
                rows.append({"plant_id": plant["id"], "name": plant.get("name"), "modules": modules})
        finally:
            await catalogue.close()
        return rows

    async def _ask(self, account: Account, entries: Callable[[], Awaitable[Entries]]) -> Entries:
        await self._count(account)
        try:
            return await entries()
        except QuotaExhausted as error:
            account.calls.stop(error.retry_after_seconds)
            raise

    async def _count(self, account: Account) -> None:
        now = self._timekeeper.now()
        seconds = quota.free_in(account.book.ledger, account.calls.rule, now, prefetch=False)
        if seconds > 0:
            raise QuotaExhausted(
                f"account {account.config.name}: no call is left to look for plants; wait {seconds:.0f} s",
                service="service catalogue",
                retry_after_seconds=seconds,
            )
        account.book.ledger = quota.recorded(account.book.ledger, now)
        account.calls.made += 1
        await account.book.commit()
