"""What the socket API needs from the services: declared here, by its consumer.

Knows no HTTP and no service. The one invariant: rows and states are JSON-ready and carry no secret; the two
`Vended…` values are the only way a secret reaches an answer. Everything raises BrokerError and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from broker.core.vended import ReadyTicket, VendedIdToken, VendedTicket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.core.access import AccessPolicy
    from broker.core.secret import Secret

__all__ = ["Backend", "ReadyTicket", "Row", "VendedIdToken", "VendedTicket"]

Row = dict[str, Any]


class Backend(Protocol):
    """The services, as the socket sees them."""

    def access(self) -> AccessPolicy:
        """The rules in force (they change with a reload)."""
        ...

    def tickets(self) -> list[Row]:
        """Rows of GET /v1/tickets without `allowed`: name, account, state, generation, expires_at, expires_in, code."""
        ...

    async def ticket(
        self, name: str, *, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> VendedTicket | None:
        """A valid ticket, at once where there is one; None: generation `newer_than` is still the newest (304).

        `wait_seconds` None: not given. Raises: UnknownTicket, ShortValidity, LoginRequired, UpstreamError, …
        """
        ...

    def ready_ticket(self, name: str) -> ReadyTicket | None:
        """What `ticket` answers to everybody alike while the lease lasts; None: ask `ticket` each time.

        Raises: UnknownTicket.
        """
        ...

    def watch(self, name: str) -> AsyncIterator[Row]:
        """The lines of GET …/watch: the current state at once, then one at every change; ends with the ticket.

        Lines are `{"type": "ticket"|"unavailable", …}`; heartbeats and the `end` line are the listener's.
        """
        ...

    async def renew_ticket(self, name: str, *, refused_generation: int) -> VendedTicket:
        """Fetch a newer ticket than the one the door refused, unless it is newer already."""
        ...

    async def probe_ticket(self, name: str, *, only_configured: bool) -> Row:
        """Which token and header form the call-in operation accepts, by at most four counted calls."""
        ...

    async def homes(self, name: str) -> list[Row]:
        """The plants of an account with their modules, where the service catalogue is open to it."""
        ...

    def accounts(self) -> list[Row]:
        """Rows of GET /v1/accounts."""
        ...

    def account(self, name: str) -> Row:
        """The row of one account. Raises: UnknownAccount."""
        ...

    async def id_token(
        self, name: str, *, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> VendedIdToken | None:
        """Like `ticket`, for an account's id token."""
        ...

    async def begin_login(self, name: str) -> Row:
        """`{authorization_url, redirect_uri, expires_at}`; voids an earlier pending login."""
        ...

    async def complete_login(self, name: str, response: Secret) -> Row:
        """Take the redirect URL, its query or the bare code; the account's row."""
        ...

    async def refresh_account(self, name: str) -> Row:
        """One refresh now; the account's row."""
        ...

    async def logout(self, name: str) -> Row:
        """Drop login, tickets and published files; the account's row."""
        ...

    async def reload(self) -> Row:
        """Read the configuration again: what changed. Raises: ConfigError, with the old one in force."""
        ...

    def status(self) -> Row:
        """Everything of GET /v1/status."""
        ...

    def readiness(self) -> tuple[bool, Row]:
        """Whether every ticket that is kept warm can be had, and the body with reasons."""
        ...

    def metrics(self) -> str:
        """The OpenMetrics text."""
        ...
