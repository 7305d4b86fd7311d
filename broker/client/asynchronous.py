"""`AsyncClient`: the same operations for asyncio.

One connection a request, no state between two, no background task. The one invariant: every call ends within its
timeout (plus the `wait` it asked for), and a cancelled one leaves no connection behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from broker.client import operations
from broker.client.connection import connect, explain
from broker.client.discovery import socket_candidates
from broker.client.problems import Unreachable
from broker.client.values import IdToken, Ticket, WatchLine
from broker.client.wire import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.client.wire import Request

Document = dict[str, Any]
RECEIVE_BYTES = 65536


class AsyncClient:
    """A broker's client for asyncio. `socket_path` None: ELIOT_BROKER_SOCKET, then the usual places.

    Every method raises Problem (the broker said why not) or Unreachable (nobody answered within `timeout_seconds`).
    Raises: ValueError, for a socket that is neither `/path` nor `unix:///path`.
    """

    def __init__(self, socket_path: str | os.PathLike[str] | None = None, timeout_seconds: float = 30.0) -> None:
        self.paths = socket_candidates(socket_path, os.environ)
        self.timeout_seconds = timeout_seconds
        self.silence_seconds = operations.SILENCE_SECONDS  # of a watch, which then counts as broken

    async def ticket(self, name: str, min_validity: int | None = None, wait: int | None = None) -> Ticket:
        """A valid ticket with at least `min_validity` seconds left, waited for up to `wait` seconds (at most 300)."""
        return Ticket.from_document(await self.call(operations.ticket(name, min_validity, wait)))

    async def refuse(self, name: str, generation: int) -> Ticket:
        """A newer ticket than the one of `generation`, which the door refused."""
        return Ticket.from_document(await self.call(operations.refuse(name, generation)))

    async def watch(self, name: str) -> AsyncIterator[WatchLine]:
        """The state of a ticket now, then every change, heartbeats included.

        Ends after the broker's `end` line (it is stopping). It does not reconnect: a connection that breaks, or is
        silent for `silence_seconds` (75), raises Unreachable, and the caller decides when to call again.
        """
        async with self._send(operations.watch(name)) as reader:
            reply = Reply()
            while not reply.status:
                reply.feed(await self._receive(reader, self.timeout_seconds))
            if reply.status >= 400:  # noqa: PLR2004 (HTTP's own border)
                while not reply.complete:
                    reply.feed(await self._receive(reader, self.timeout_seconds))
                operations.read_document(reply)
            async for line in self._split(reader, reply):
                yield line

    async def tickets(self) -> list[Document]:
        """The rows of GET /v1/tickets; no secret."""
        return list((await self.call(operations.read("/v1/tickets"))).get("tickets", []))

    async def accounts(self) -> list[Document]:
        """The rows of GET /v1/accounts; no secret."""
        return list((await self.call(operations.read("/v1/accounts"))).get("accounts", []))

    async def account(self, name: str) -> Document:
        """One row of them."""
        return await self.call(operations.account(name))

    async def id_token(self, account: str, min_validity: int | None = None, wait: int | None = None) -> IdToken:
        """An account's id token, for its admins and `allow_id_token`."""
        return IdToken.from_document(await self.call(operations.id_token(account, min_validity, wait)))

    async def login(self, account: str) -> Document:
        """Begin a login: `{authorization_url, redirect_uri, expires_at}`."""
        return await self.call(operations.login(account))

    async def complete_login(self, account: str, response: str) -> Document:
        """Complete it with the redirect URL, its query or the bare code; the account's row."""
        return await self.call(operations.complete_login(account, response))

    async def refresh(self, account: str) -> Document:
        """Refresh an account's login once, now; the account's row."""
        return await self.call(operations.refresh(account))

    async def logout(self, account: str) -> Document:
        """Drop an account's login and tickets; the account's row."""
        return await self.call(operations.logout(account))

    async def reload(self) -> Document:
        """Make the broker read its configuration again: what changed."""
        return await self.call(operations.reload())

    async def status(self) -> Document:
        """Everything of GET /v1/status."""
        return await self.call(operations.read("/v1/status"))

    async def call(self, request: Request) -> Document:
        """Any request: the JSON object of its answer."""
        reply = Reply()
        try:
            async with asyncio.timeout(self.timeout_seconds + request.patience_seconds), self._send(request) as reader:
                while not reply.complete:
                    reply.feed(await self._receive(reader, None))
        except TimeoutError:
            raise Unreachable("the broker did not answer in time") from None
        return operations.read_document(reply)

    async def _split(self, reader: asyncio.StreamReader, reply: Reply) -> AsyncIterator[WatchLine]:
        rest = b""
        while True:
            *lines, rest = (rest + reply.take()).split(b"\n")
            for document in filter(None, map(operations.parse_object, lines)):
                yield WatchLine.from_document(document)
                if document.get("type") == "end":
                    return
            if reply.complete:
                raise Unreachable("the broker closed the connection without saying that it stops")
            reply.feed(await self._receive(reader, self.silence_seconds))

    @asynccontextmanager
    async def _send(self, request: Request) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_unix_connection(sock=await self._connect())
        try:
            writer.write(request.encode())  # small: it never waits, and a failure shows when reading
            yield reader
        finally:
            writer.close()

    async def _connect(self) -> socket.socket:
        """Connect; a Unix socket does so at once, or its backlog is full and a thread waits in the kernel."""
        failures: list[tuple[str, OSError]] = []
        for path in self.paths:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                connection.connect(path)
            except BlockingIOError:
                connection.close()
                return await asyncio.to_thread(connect, (path,), self.timeout_seconds)
            except OSError as error:
                connection.close()
                failures.append((path, error))
            else:
                return connection
        raise explain(failures)

    async def _receive(self, reader: asyncio.StreamReader, seconds: float | None) -> bytes:
        try:
            return await asyncio.wait_for(reader.read(RECEIVE_BYTES), seconds)
        except TimeoutError:
            raise Unreachable("the broker did not answer in time") from None
        except OSError as error:
            raise Unreachable(f"the connection to the broker broke: {error.strerror or error}") from error
