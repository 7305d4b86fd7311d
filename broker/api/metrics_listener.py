"""GET /metrics over TCP, for a Prometheus on another machine: off unless the configuration names an address.

Knows the text and nothing of where it is from. The one invariant: nothing but that text leaves here, and it has no
secret in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.api import web
from broker.api.representation import SERVER_NAME
from broker.api.system import OPENMETRICS_TYPE
from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_SECONDS = 75.0
STOP_SECONDS = 1.0


class MetricsListener:
    """Answers on one address at a time; `listen` "" is none."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._listen = ""
        self._server: asyncio.Server | None = None
        self._pages: web.Server | None = None
        self.port = 0

    async def move(self, listen: str) -> None:
        """Listen there from now on. Raises: ConfigError, and then it goes on where it was."""
        if listen == self._listen:
            return
        server, pages, port = None, None, 0
        if listen:
            host, _, number = listen.rpartition(":")
            pages = web.Server(self._answer, access_log=None, keepalive_timeout=IDLE_SECONDS)
            try:
                server = await asyncio.get_running_loop().create_server(pages, host.strip("[]"), int(number))
            except OSError as error:
                problem = f"[metrics] listen {listen}: {(error.strerror or 'cannot be had').lower()}"
                raise ConfigError(problem, problems=(problem,), hint="choose another address") from None
            port = server.sockets[0].getsockname()[1]
        await self.stop()
        self._listen, self._server, self._pages, self.port = listen, server, pages, port

    async def stop(self) -> None:
        """Listen no more."""
        server, pages, self._server, self._pages, self._listen = self._server, self._pages, None, None, ""
        if server is not None and pages is not None:
            server.close()
            await pages.shutdown(STOP_SECONDS)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {"Cache-Control": "no-store", "Server": SERVER_NAME}
        if request.path != "/metrics":
            return web.Response(status=404, headers=headers)
        if request.method != "GET":
            return web.Response(status=405, headers={**headers, "Allow": "GET"})
        return web.Response(body=self._text().encode(), headers={**headers, "Content-Type": OPENMETRICS_TYPE})
