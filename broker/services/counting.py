"""The ways to the cloud, counted: each wraps a port and changes nothing but the numbers.

Knows the ports, no adapter. The one invariant: what the wrapped one returns or raises is returned or raised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.core.callin import IssuedTicket
    from broker.core.secret import Secret
    from broker.core.tokens import PendingLogin, TokenSet
    from broker.ports import IdentityProvider, TicketIssuer
    from broker.services.counters import Counters
    from broker.services.fleet import Cloud


def counted(cloud: Cloud, account: str, counters: Counters) -> Cloud:
    """The same ways, counted."""
    return replace(
        cloud,
        provider=CountedProvider(cloud.provider, account, counters),
        issuer=CountedIssuer(cloud.issuer, account, counters),
    )


class CountedIssuer:
    """ports.TicketIssuer."""

    def __init__(self, issuer: TicketIssuer, account: str, counters: Counters) -> None:
        self._issuer = issuer
        self._account = account
        self._counters = counters

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:
        """One call, and one more of its status."""
        try:
            issued = await self._issuer.issue(plant_id, device_id, token)
        except UpstreamError as error:
            status = "none" if error.status is None else str(error.status)
            self._counters.add("eliot_broker_calls", account=self._account, status=status)
            _count_failure(error, self._counters)
            raise
        self._counters.add("eliot_broker_calls", account=self._account, status="200")
        return issued

    async def close(self) -> None:
        """Drop what is open towards the cloud."""
        await self._issuer.close()


class CountedProvider:
    """ports.IdentityProvider."""

    def __init__(self, provider: IdentityProvider, account: str, counters: Counters) -> None:
        self._provider = provider
        self._account = account
        self._counters = counters

    def begin(self, redirect_uri: str) -> PendingLogin:
        """As the provider does."""
        return self._provider.begin(redirect_uri)

    def redeem(self, pending: PendingLogin, response: Mapping[str, str]) -> TokenSet:
        """As the provider does."""
        return self._provider.redeem(pending, response)

    def refresh(self, refresh_token: Secret) -> TokenSet:
        """One refresh, and one more of its result."""
        try:
            tokens = self._provider.refresh(refresh_token)
        except UpstreamError as error:
            self._counters.add("eliot_broker_refreshes", account=self._account, result=str(error.code))
            _count_failure(error, self._counters)
            raise
        self._counters.add("eliot_broker_refreshes", account=self._account, result="ok")
        return tokens


def _count_failure(error: UpstreamError, counters: Counters) -> None:
    counters.add("eliot_broker_failures", service=error.service, code=str(error.code))
