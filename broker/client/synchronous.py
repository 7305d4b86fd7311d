"""`Client`: the broker's operations for programs that may block.

One connection a request, no state between two, so a Client may be shared by threads and outlives restarts of the
broker. The one invariant: every call ends within its timeout (plus the `wait` it asked for).
"""

from __future__ import annotations

import os
import time

from broker.client import operations
from broker.client.connection import connect
from broker.client.discovery import socket_candidates
from broker.client.problems import Unreachable
from broker.client.wire import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Any

    from broker.client.values import IdToken, Ticket, WatchLine
    from broker.client.wire import Request

    Document = dict[str, Any]

RECEIVE_BYTES = 65536


class Client:
    """A broker's client. `socket_path` None: ELIOT_BROKER_SOCKET, then the usual places.

    Every method raises Problem (the broker said why not) or Unreachable (nobody answered within `timeout_seconds`).
    Raises: ValueError, for a socket that is neither `/path` nor `unix:///path`.
    """

    def __init__(self, socket_path: str | os.PathLike[str] | None = None, timeout_seconds: float = 30.0) -> None:
        self.paths = socket_candidates(socket_path, os.environ)
        self.timeout_seconds = timeout_seconds
        self.silence_seconds = operations.SILENCE_SECONDS  # of a watch, which then counts as broken

    def ticket(self, name: str, min_validity: int | None = None, wait: int | None = None) -> Ticket:
        """A valid ticket with at least `min_validity` seconds left, waited for up to `wait` seconds (at most 300)."""
        from broker.client.values import Ticket

        return Ticket.from_document(self.call(operations.ticket(name, min_validity, wait)))

    def refuse(self, name: str, generation: int) -> Ticket:
        """A newer ticket than the one of `generation`, which the door refused."""
        from broker.client.values import Ticket

        return Ticket.from_document(self.call(operations.refuse(name, generation)))

    def watch(self, name: str) -> Iterator[WatchLine]:
        """The state of a ticket now, then every change, heartbeats included.

        Ends after the broker's `end` line (it is stopping). It does not reconnect: a connection that breaks, or is
        silent for `silence_seconds` (75), raises Unreachable, and the caller decides when to call again.
        """
        from broker.client.values import WatchLine

        return (WatchLine.from_document(line) for line in self.lines(operations.watch(name)))

    def tickets(self) -> list[Document]:
        """The rows of GET /v1/tickets; no secret."""
        return list(self.call(operations.read("/v1/tickets")).get("tickets", []))

    def accounts(self) -> list[Document]:
        """The rows of GET /v1/accounts; no secret."""
        return list(self.call(operations.read("/v1/accounts")).get("accounts", []))

    def account(self, name: str) -> Document:
        """One row of them."""
        return self.call(operations.account(name))

    def id_token(self, account: str, min_validity: int | None = None, wait: int | None = None) -> IdToken:
        """An account's id token, for its admins and `allow_id_token`."""
        from broker.client.values import IdToken

        return IdToken.from_document(self.call(operations.id_token(account, min_validity, wait)))

    def login(self, account: str) -> Document:
        """Begin a login: `{authorization_url, redirect_uri, expires_at}`."""
        return self.call(operations.login(account))

    def complete_login(self, account: str, response: str) -> Document:
        """Complete it with the redirect URL, its query or the bare code; the account's row."""
        return self.call(operations.complete_login(account, response))

    def refresh(self, account: str) -> Document:
        """Refresh an account's login once, now; the account's row."""
        return self.call(operations.refresh(account))

    def logout(self, account: str) -> Document:
        """Drop an account's login and tickets; the account's row."""
        return self.call(operations.logout(account))

    def reload(self) -> Document:
        """Make the broker read its configuration again: what changed."""
        return self.call(operations.reload())

    def status(self) -> Document:
        """Everything of GET /v1/status."""
        return self.call(operations.read("/v1/status"))

    def call(self, request: Request) -> Document:
        """Any request: the JSON object of its answer."""
        return operations.read_document(self.exchange(request))

    def exchange(self, request: Request) -> Reply:
        """Any request: its answer, whatever the status. Raises: Unreachable."""
        deadline = time.monotonic() + self.timeout_seconds + request.patience_seconds
        with self._send(request) as connection:
            reply = Reply()
            while not reply.complete:
                reply.feed(self._receive(connection, deadline - time.monotonic()))
            return reply

    def lines(self, request: Request) -> Iterator[Document]:
        """A request answered line by line (NDJSON), as documents; ends after the line of type `end`."""
        with self._send(request) as connection:
            reply = Reply()
            while not reply.status:
                reply.feed(self._receive(connection, self.timeout_seconds))
            if reply.status >= 400:  # noqa: PLR2004 (HTTP's own border)
                while not reply.complete:
                    reply.feed(self._receive(connection, self.timeout_seconds))
                operations.read_document(reply)
            yield from self._split(connection, reply)

    def _split(self, connection: socket.socket, reply: Reply) -> Iterator[Document]:
        rest = b""
        while True:
            *lines, rest = (rest + reply.take()).split(b"\n")
            for line in lines:
                document = operations.parse_object(line)
                if document is not None:
                    yield document
                    if document.get("type") == "end":
                        return
            if reply.complete:
                raise Unreachable("the broker closed the connection without saying that it stops")
            reply.feed(self._receive(connection, self.silence_seconds))

    def _send(self, request: Request) -> socket.socket:
        connection = connect(self.paths, self.timeout_seconds)
        try:
            connection.settimeout(self.timeout_seconds)
            connection.sendall(request.encode())
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it closed; reading tells
        except OSError as error:
            connection.close()
            raise Unreachable(f"the broker does not take the request: {error}") from error
        return connection

    def _receive(self, connection: socket.socket, seconds: float) -> bytes:
        try:
            connection.settimeout(max(seconds, 0.001))
            return connection.recv(RECEIVE_BYTES)
        except TimeoutError:
            raise Unreachable("the broker did not answer in time") from None
        except OSError as error:
            raise Unreachable(f"the connection to the broker broke: {error.strerror or error}") from error
