"""The routes about the broker itself: status, health, metrics, reload, and this API's own description.

Speaks to the services only through Backend. The one invariant: nothing here carries a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.api.call import answer, json_answer
from broker.api.openapi import document
from broker.api.parameters import no_query

if TYPE_CHECKING:
    from broker.api import web
    from broker.api.backend import Backend
    from broker.api.call import Call
    from broker.api.shelter import Shelter

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class SystemRoutes:
    """Handlers of everything that is neither ticket nor account."""

    def __init__(self, backend: Backend, shelter: Shelter) -> None:
        self._backend = backend
        self._shelter = shelter

    async def reload(self, call: Call) -> web.StreamResponse:
        """POST /v1/reload."""
        no_query(call.query)
        return json_answer(await self._shelter.run(self._backend.reload()))

    async def status(self, call: Call) -> web.StreamResponse:
        """GET /v1/status."""
        no_query(call.query)
        return json_answer(self._backend.status())

    async def live(self, _call: Call) -> web.StreamResponse:
        """GET /healthz: the loop turns."""
        return json_answer({"status": "live"})

    async def ready(self, _call: Call) -> web.StreamResponse:
        """GET /readyz."""
        ready, row = self._backend.readiness()
        return json_answer(row, status=200 if ready else 503)

    async def metrics(self, _call: Call) -> web.StreamResponse:
        """GET /metrics (OpenMetrics 1.0.0)."""
        return answer(self._backend.metrics().encode(), content_type=OPENMETRICS_TYPE)

    async def openapi(self, _call: Call) -> web.StreamResponse:
        """GET /openapi.json."""
        return json_answer(document())
