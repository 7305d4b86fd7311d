"""The listener: what serves the socket, from `start` to a `stop` that loses no request it accepted.

Joins endpoint, connections, server and routes. The one invariant: after `stop` no connection, task or timer of
ours is left.
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from typing import TYPE_CHECKING

from broker.api.accounts import AccountRoutes
from broker.api.audit import Audit, Refusal
from broker.api.connection import Connections
from broker.api.hot import HotPath
from broker.api.limits import Limits
from broker.api.lobby import Lobby
from broker.api.routes import Dispatcher, Router, table
from broker.api.server import HttpServer
from broker.api.shelter import Shelter
from broker.api.system import SystemRoutes
from broker.api.tickets import TicketRoutes
from broker.api.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.api.backend import Backend
    from broker.api.endpoint import Endpoint
    from broker.api.problems import RequestRefused
    from broker.core.access import Peer
    from broker.ports import Events

SETTLE_SECONDS = 0.05  # in which a request already in the socket's buffer is read
FIRST_REQUEST_SECONDS = 1.0  # for a connection accepted just before the stop
CUT_SECONDS = 1.0
CROWD = 64  # connections at once; three quarters of them gone, memory is worth giving back
CALM_SECONDS = 5.0  # at least between two times: it takes a millisecond or two
BOOT_CLOCK: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
WALL_CLOCK: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_REALTIME)


class Listener:
    """Serves the API on its endpoints; made and used inside the running loop. `on_bug` hears each defect once.

    `boot` None: CLOCK_BOOTTIME, which leases of tickets are counted by. `on_calm` hears that a crowd has gone.
    """

    def __init__(
        self,
        backend: Backend,
        endpoints: Sequence[Endpoint],
        *,
        events: Events,
        on_bug: Callable[[BaseException], None],
        limits: Limits | None = None,
        boot: Callable[[], float] | None = None,
        on_calm: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._limits = limits or Limits()
        self._endpoints = tuple(endpoints)
        self._stopping: asyncio.Future[None] = self._loop.create_future()
        self._shelter = Shelter(on_bug)
        self._on_calm = on_calm
        self._most = 0  # connections since a crowd went last
        self._calm_at = -math.inf
        self.connections = Connections(self._limits, self._loop.time, self._wake)
        self.audit = Audit(events, self._limits, self._wake)
        self.connections.on_limited = self._limited
        self._hot = HotPath(
            backend, self.audit, self.connections, monotonic=self._loop.time, boot=boot or BOOT_CLOCK, wall=WALL_CLOCK
        )
        self.routes = table(
            TicketRoutes(backend, self.audit, self._limits, self._shelter, stopping=self._stopping, hot=self._hot),
            AccountRoutes(backend, self.audit, self._shelter),
            SystemRoutes(backend, self._shelter),
        )
        turnstile = Turnstile(self._loop)
        self._dispatcher = Dispatcher(
            backend,
            Router(self.routes),
            audit=self.audit,
            connections=self.connections,
            turnstile=turnstile,
            stopping=self._stopping,
            on_bug=on_bug,
        )
        self._server = HttpServer(self._dispatcher, self._limits, on_bug)
        self.lobby = Lobby(
            self._loop,
            self.connections,
            self._hot,
            server=self._server,
            shelter=self._shelter,
            turnstile=turnstile,
            clock=time.monotonic,
        )

    def _limited(self, peer: Peer, refusal: RequestRefused) -> None:
        told = Refusal("", "", str(refusal.code), refusal.message)
        self.audit.limited(peer, self._loop.time(), told)

    def start(self) -> None:
        """Begin to accept."""
        self.lobby.open([endpoint.socket for endpoint in self._endpoints])

    async def stop(self) -> None:
        """Stop accepting, answer what was asked, end the watches, close; bounded by Limits.stop_seconds."""
        self.lobby.accept_no_more()
        for endpoint in self._endpoints:
            endpoint.release()
        self._hot.open = False
        if not self._stopping.done():
            self._stopping.set_result(None)
        drained = self.connections.drained(self._loop)
        await asyncio.wait({drained}, timeout=SETTLE_SECONDS)
        self._close_idle(asked_before=True)
        await asyncio.wait({drained}, timeout=min(FIRST_REQUEST_SECONDS, self._limits.stop_seconds))
        self._close_idle(asked_before=False)
        await asyncio.wait({drained}, timeout=self._limits.stop_seconds)
        self._cut()
        await asyncio.wait({drained}, timeout=CUT_SECONDS)
        self.connections.abort_all()
        await self._shelter.drain(CUT_SECONDS)
        await asyncio.wait({drained}, timeout=CUT_SECONDS)
        self.lobby.close()
        if self._timer is not None:
            self._timer.cancel()
        self.audit.flush()

    def _close_idle(self, *, asked_before: bool) -> None:
        """Close the connections that ask for nothing; those that never did get a moment more."""
        for connection in self.connections:
            if not connection.front.busy and (connection.requests or not asked_before):
                connection.front.close()

    def _cut(self) -> None:
        """Answer `shutting_down` to the requests that are still waited for."""
        self._dispatcher.cutting = True
        for connection in self.connections:
            if connection.in_flight is not None:
                connection.in_flight.cancel()

    def _wake(self) -> None:
        """Tick from now on, for as long as there is something to look at: an idle broker sleeps."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._limits.tick_seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        awaited = self.connections.tick()
        self.lobby.tick()
        self.audit.flush(self._loop.time())
        self._look_for_calm()
        if awaited or self.audit.counting:
            self._wake()

    def _look_for_calm(self) -> None:
        here, now = len(self.connections), self._loop.time()
        self._most = max(self._most, here)
        if self._most >= CROWD and here <= self._most // 4 and now - self._calm_at >= CALM_SECONDS:
            self._most, self._calm_at = here, now
            self._on_calm()
