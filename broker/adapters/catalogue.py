"""The service catalogue over HTTP: the plants of an account and the modules of each.

Knows no quota: who calls counts. The one invariant: one method is one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from broker.adapters.transport import HttpRequest
from broker.core import callin, catalogue

if TYPE_CHECKING:
    from broker.adapters.transport import Transport
    from broker.config import ApiConfig
    from broker.core.secret import Secret


class ServiceCatalogue:
    """The HomeCatalogue port over the account's API settings."""

    def __init__(self, api: ApiConfig, transport: Transport) -> None:
        self._api = api
        self._transport = transport

    async def plants(self, token: Secret) -> list[dict[str, str]]:
        """The account's plants. Raises: UpstreamError."""
        return await self._entries(catalogue.PATH, "plants", token)

    async def modules(self, plant_id: str, token: Secret) -> list[dict[str, str]]:
        """The modules of a plant. Raises: UpstreamError."""
        return await self._entries(f"{catalogue.PATH}/{quote(plant_id, safe='')}/modules", "modules", token)

    async def _entries(self, path: str, name: str, token: Secret) -> list[dict[str, str]]:
        api, base = self._api, urlsplit(self._api.base_url)
        request = HttpRequest(
            "GET",
            f"{base.scheme}://{base.netloc}{path}",
            catalogue.SERVICE,
            headers={
                "Ocp-Apim-Subscription-Key": api.subscription_key.value.reveal(),
                "Authorization": f"{api.scheme} {token.reveal()}" if api.scheme else token.reveal(),
                "Accept": "application/json",
            },
            connect_timeout_seconds=api.connect_timeout_seconds,
            timeout_seconds=api.timeout_seconds,
        )
        answer = await self._transport.request(request)
        if not answer.is_success:
            raise callin.classify(answer)
        return catalogue.read_entries(answer.json_value(), name)

    async def close(self) -> None:
        """Drop the connections."""
        await self._transport.close()
