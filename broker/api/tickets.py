"""The ticket routes: list, vend, watch, and "this one was refused by the door".

Speaks to the services only through Backend. The one invariant: no ticket leaves without its line in the audit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from broker.api.audit import Given
from broker.api.call import answer, json_answer
from broker.api.hot import Form
from broker.api.parameters import bare_type, newest_known, no_query, refused_generation, vend_query
from broker.api.representation import SERVER_NAME, encode_line, tagged, ticket_body
from broker.core.secret import Secret
from broker.errors import BadRequest, BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.api.audit import Audit
    from broker.api.backend import Backend, Row
    from broker.api.call import Call
    from broker.api.hot import HotPath
    from broker.api.limits import Limits
    from broker.api.shelter import Shelter
    from broker.core.vended import VendedTicket

NDJSON_TYPE = "application/x-ndjson"


class TicketRoutes:
    """Handlers of /v1/tickets…; `stopping` is done when the listener stops."""

    def __init__(
        self,
        backend: Backend,
        audit: Audit,
        limits: Limits,
        shelter: Shelter,
        *,
        stopping: asyncio.Future[None],
        hot: HotPath,
    ) -> None:
        self._backend = backend
        self._audit = audit
        self._limits = limits
        self._shelter = shelter
        self._stopping = stopping
        self._hot = hot
        self._loop = stopping.get_loop()
        self._upcoming: set[asyncio.Task[Row | None]] = set()
        stopping.add_done_callback(lambda _: self._end_watches())

    async def list(self, call: Call) -> web.StreamResponse:
        """GET /v1/tickets."""
        no_query(call.query)
        policy = self._backend.access()
        rows = [{**row, "allowed": policy.may_vend(row["name"], call.peer)} for row in self._backend.tickets()]
        return json_answer({"tickets": rows})

    async def vend(self, call: Call) -> web.StreamResponse:
        """GET /v1/tickets/{name}."""
        query = vend_query(call.query)
        newer_than = newest_known(call.header("If-None-Match"))
        vended = await self._backend.ticket(
            call.name,
            min_validity_seconds=query.min_validity_seconds,
            wait_seconds=query.wait_seconds,
            newer_than=newer_than,
        )
        if vended is None:
            return not_modified(newer_than)
        if call.header("If-None-Match") is None:
            self._hot.learn(call.connection, Form(bare_type(call.header("Accept")), close=not call.request.keep_alive))
        return self._hand_out(call, vended)

    async def renew(self, call: Call) -> web.StreamResponse:
        """POST /v1/tickets/{name}/refresh."""
        no_query(call.query)
        generation = refused_generation(call.header("If-Match"))
        renewal = self._backend.renew_ticket(call.name, refused_generation=generation)
        return self._hand_out(call, await self._shelter.run(renewal))

    async def probe(self, call: Call) -> web.StreamResponse:
        """POST /v1/tickets/{name}/probe."""
        no_query(call.query)
        only_configured = call.json_body().get("only_configured", False) if call.body else False
        if not isinstance(only_configured, bool):
            raise BadRequest("only_configured must be true or false", hint='send {"only_configured": true}')
        probe = self._backend.probe_ticket(call.name, only_configured=only_configured)
        return json_answer(await self._shelter.run(probe))

    def _hand_out(self, call: Call, vended: VendedTicket) -> web.Response:
        given = Given("ticket", vended.name, vended.ticket, vended.generation, vended.expires_in_seconds)
        self._audit.served(call.peer, self._loop.time(), given)
        headers = {"Vary": "Accept"} if vended.single_use else tagged(vended.generation)
        bare = bare_type(call.header("Accept"))
        if bare is not None:
            return answer(vended.ticket.reveal().encode(), content_type=bare, headers=headers)
        return answer(ticket_body(vended), headers=headers)

    async def watch(self, call: Call) -> web.StreamResponse:
        """GET /v1/tickets/{name}/watch: lines until the client hangs up, loses its leave, or the listener stops."""
        no_query(call.query)
        lines = self._backend.watch(call.name)
        try:
            line: Row | None = await anext(lines, None)  # what is wrong with the request shows here, as a problem
            response = web.StreamResponse(
                headers={"Content-Type": NDJSON_TYPE, "Cache-Control": "no-store", "Server": SERVER_NAME}
            )
            await response.prepare(call.request)
            await self._stream(call, response, lines, line)
        finally:
            if (close := getattr(lines, "aclose", None)) is not None:
                await close()
        response.force_close()
        return response

    async def _stream(
        self, call: Call, response: web.StreamResponse, lines: AsyncIterator[Row], line: Row | None
    ) -> None:
        upcoming: asyncio.Task[Row | None] | None = None
        try:
            while line is not None and await self._still_allowed(call):
                await response.write(encode_line(line))
                self._tell(call, line)
                if self._stopping.done():
                    break
                if upcoming is None:
                    upcoming = self._shelter.start(following(lines))
                    self._upcoming.add(upcoming)
                    upcoming.add_done_callback(self._upcoming.discard)
                # Not on `stopping` too: a thousand watchers on one future make each of them slow.
                done, _ = await asyncio.wait({upcoming}, timeout=self._limits.heartbeat_seconds)
                line = {"type": "heartbeat"}
                if self._stopping.done() or (done and upcoming.cancelled()):
                    line = None
                elif done:
                    line, upcoming = upcoming.result(), None
            await response.write(encode_line({"type": "end"}))
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.wait({upcoming})

    def _end_watches(self) -> None:
        for upcoming in tuple(self._upcoming):
            upcoming.cancel()

    async def _still_allowed(self, call: Call) -> bool:
        """A reload may have taken the leave away since."""
        policy = self._backend.access()
        return policy.may_vend(call.name, await call.connection.identity.resolve(policy))

    def _tell(self, call: Call, line: Row) -> None:
        ticket = line.get("ticket")
        if ticket is not None:
            secret = ticket if isinstance(ticket, Secret) else Secret(str(ticket))
            given = Given("ticket", call.name, secret, line.get("generation"), line.get("expires_in"))
            self._audit.served(call.peer, self._loop.time(), given)


async def following(lines: AsyncIterator[Row]) -> Row | None:
    """The next line; None at the end, which a failure is too: its cause was a line of its own, or is a shutdown."""
    try:
        return await anext(lines, None)
    except BrokerError:
        return None


def not_modified(generation: int | None) -> web.Response:
    """304: the caller has the newest already (RFC 9110 section 15.4.5)."""
    headers = {"Cache-Control": "no-store", "Server": SERVER_NAME, "Vary": "Accept"}
    if generation is not None:
        headers |= tagged(generation)
    return web.Response(status=304, headers=headers)
