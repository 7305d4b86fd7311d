"""The ticket routes: list, vend, watch, and "this one was refused by the door".

Speaks to the services only through Backend. The one invariant: no ticket leaves without its line in the audit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.api import web
from broker.api.audit import Given
from broker.api.call import answer, json_answer
from broker.api.hot import Form
from broker.api.parameters import bare_type, newest_known, no_query, refused_generation, vend_query
from broker.api.representation import SERVER_NAME, tagged, ticket_body
from broker.api.watching import END, Channel, Message, Watcher, message
from broker.errors import BadRequest

if TYPE_CHECKING:
    import asyncio

    from broker.api.audit import Audit
    from broker.api.backend import Backend
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
        self._channels: dict[str, Channel] = {}
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
        first = await self._present(call.name)  # what is wrong with the request shows here, as a problem
        response = web.StreamResponse(
            headers={"Content-Type": NDJSON_TYPE, "Cache-Control": "no-store", "Server": SERVER_NAME}
        )
        await response.prepare(call.request)
        if first is not None:
            channel = self._channel(call.name)
            watcher = channel.join(call, first, chunked="Transfer-Encoding" in response.headers)
            try:
                await self._stream(response, channel, watcher)
            finally:
                channel.leave(watcher)
        await response.write(END.line)
        response.force_close()
        return response

    async def _present(self, name: str) -> Message | None:
        """The state as it is now; None: there is nothing to be told any more. Raises: BrokerError."""
        lines = self._backend.watch(name)
        try:
            row = await anext(lines, None)
        finally:
            if (close := getattr(lines, "aclose", None)) is not None:
                await close()
        return None if row is None else message(name, row)

    def _channel(self, name: str) -> Channel:
        """The one that follows the ticket; after a reload another: the name may mean another ticket."""
        channel = self._channels.get(name)
        if channel is None or channel.over or channel.policy is not self._backend.access():
            channel = self._channels[name] = Channel(
                name,
                self._backend.watch(name),
                access=self._backend.access,
                audit=self._audit,
                shelter=self._shelter,
            )
        return channel

    async def _stream(self, response: web.StreamResponse, channel: Channel, watcher: Watcher) -> None:
        news: Message | None = watcher.known
        while news is not None and not self._stopping.done() and await self._still_allowed(watcher.call):
            await response.write(news.line)
            watcher.told_at = self._loop.time()
            if news.meaning is not None:
                watcher.known = news
            if news.given is not None:
                self._audit.served(watcher.call.peer, watcher.told_at, news.given)
            news = await channel.next(watcher, self._limits.heartbeat_seconds)

    def _end_watches(self) -> None:
        for channel in self._channels.values():
            channel.end()

    async def _still_allowed(self, call: Call) -> bool:
        """A reload may have taken the leave away since."""
        policy = self._backend.access()
        return policy.may_vend(call.name, await call.connection.identity.resolve(policy))


def not_modified(generation: int | None) -> web.Response:
    """304: the caller has the newest already (RFC 9110 section 15.4.5)."""
    headers = {"Cache-Control": "no-store", "Server": SERVER_NAME, "Vary": "Accept"}
    if generation is not None:
        headers |= tagged(generation)
    return web.Response(status=304, headers=headers)
