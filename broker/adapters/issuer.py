"""The call-in operation over HTTP: one GET, as the vendor's page describes it.

Knows no quota and no retry. The one invariant: one call of `issue` is at most one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from broker.adapters.transport import HttpRequest
from broker.core import callin

if TYPE_CHECKING:
    from broker.adapters.transport import Transport
    from broker.config import ApiConfig
    from broker.core.callin import IssuedTicket
    from broker.core.secret import Secret


class CallInIssuer:
    """The TicketIssuer port over the account's API settings."""

    def __init__(self, api: ApiConfig, transport: Transport) -> None:
        self._api = api
        self._transport = transport

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:
        """Ask for one ticket. Raises: UpstreamError."""
        api = self._api
        path = api.path.replace("{plant_id}", quote(plant_id, safe="")).replace(
            "{device_id}", quote(device_id, safe="")
        )
        request = HttpRequest(
            "GET",
            f"{api.base_url.rstrip('/')}/{path.lstrip('/')}",
            callin.SERVICE,
            headers={
                "Ocp-Apim-Subscription-Key": api.subscription_key.value.reveal(),
                "Authorization": f"{api.scheme} {token.reveal()}" if api.scheme else token.reveal(),
                "Accept": "application/json",
            },
            connect_timeout_seconds=api.connect_timeout_seconds,
            timeout_seconds=api.timeout_seconds,
        )
        answer = await self._transport.request(request)
        return callin.read_ticket(answer, plant_id=plant_id, ticket_pointer=api.ticket_pointer)

    async def close(self) -> None:
        """Drop the connections to the API."""
        await self._transport.close()
