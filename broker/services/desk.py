"""The desk: where callers' questions meet the services. What the socket API calls its backend.

Knows the fleet, no HTTP. The one invariant: a question about a ticket that is valid is answered without waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core.vended import ReadyTicket, VendedIdToken, VendedTicket
from broker.errors import BrokerError
from broker.services import report
from broker.services.overview import Overview
from broker.services.refreshable import Unchanged

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable

    from broker.core.access import AccessPolicy
    from broker.core.secret import Secret
    from broker.core.session import HeldToken
    from broker.services.account import Account
    from broker.services.counters import Counters
    from broker.services.homes import Homes
    from broker.services.logins import Logins
    from broker.services.page import HeldTicket
    from broker.services.probe import Prober
    from broker.services.tickets import TicketService
    from broker.services.timekeeper import Timekeeper

Row = dict[str, Any]


class Desk(Overview):
    """Answers callers; a question about all of them is the overview's."""

    def __init__(
        self,
        *,
        logins: Logins,
        timekeeper: Timekeeper,
        facts: Row,
        wake: Callable[[], None],
        reload: Callable[[], Awaitable[Row]],
        prober: Prober,
        homes: Homes,
        counters: Counters,
    ) -> None:
        super().__init__(logins=logins, timekeeper=timekeeper, facts=facts, counters=counters)
        self.policy: AccessPolicy | None = None
        self._wake = wake
        self._reload = reload
        self._prober = prober
        self._homes = homes

    def access(self) -> AccessPolicy:
        """The rules in force."""
        assert self.policy is not None
        return self.policy

    # tickets

    async def ticket(
        self, name: str, *, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> VendedTicket | None:
        """A valid ticket; None: the caller's generation is the newest. Raises: BrokerError."""
        service = self._ticket(name)
        try:
            held = await service.get(
                min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=newer_than
            )
        except Unchanged:
            return None
        except BrokerError as error:
            self._counters.add("eliot_broker_vends", ticket=name, result=str(error.code))
            raise
        finally:
            if service.config.single_use:
                self._wake()
        return self._vended(service, held)

    def ready_ticket(self, name: str) -> ReadyTicket | None:
        """The ticket for the fast path; None where each request must be asked about: demand counts, or it is spent."""
        service, now = self._ticket(name), self._timekeeper.now()
        if service.config.warm != "always" or service.config.single_use:
            return None
        held, lease = service.ref.usable(now), service.ref.lease(now)
        if held is None or lease is None:
            return None
        ends = now.boot_seconds + (held.life.remaining(now) or 0.0)
        return ReadyTicket(self._vended(service, held), ends, lease)

    async def renew_ticket(self, name: str, *, refused_generation: int) -> VendedTicket:
        """A ticket newer than the one that the door refused. Raises: BrokerError."""
        service = self._ticket(name)
        return self._vended(service, await service.renew(refused_generation))

    async def watch(self, name: str) -> AsyncIterator[Row]:
        """The present state, then each change of it, until the configuration no longer names the ticket.

        Changes that follow at once may be told as one.
        """
        service = self._ticket(name)
        told: object = None
        while not service.forgotten:
            changed = service.ref.changed()
            key, line = self._watch_line(service)
            if key != told:
                told = key
                yield line
            await self._watch_wait(service, changed)

    async def _watch_wait(self, service: TicketService, changed: asyncio.Event) -> None:
        """Until a change, or until the ticket in hand ends."""
        import asyncio

        left = service.ref.remaining(self._timekeeper.now())
        try:
            async with asyncio.timeout(left + 0.05 if left > 0 else None):
                await changed.wait()
        except TimeoutError:
            return

    def _watch_line(self, service: TicketService) -> tuple[object, Row]:
        now = self._timekeeper.now()
        held = service.ref.usable(now)
        if held is not None and not service.config.single_use:
            return held.generation, {"type": "ticket", **vended_row(self._vended(service, held))}
        row = report.ticket_row(service, now)
        fields = report.problem_fields(service.why_unavailable(now))
        kind = "unavailable" if held is None else "ticket"  # a single-use one is announced, never shown
        return (kind, fields["code"]), {"type": kind, "name": service.name, "state": row["state"], **fields}

    def _vended(self, service: TicketService, held: HeldTicket) -> VendedTicket:
        left = held.life.remaining(self._timekeeper.now())
        return VendedTicket(
            name=service.name,
            ticket=held.ticket,
            generation=held.generation,
            issued_at=held.life.issued_at,
            expires_at=held.life.expires_at,
            expires_in_seconds=max(0, int(left or 0)),
            plant_id=service.config.plant_id,
            device_id=service.config.device_id,
            sender=held.sender,
            single_use=service.config.single_use,
        )

    async def probe_ticket(self, name: str, *, only_configured: bool) -> Row:
        """Which form of request the operation accepts, by counted calls. Raises: BrokerError."""
        service = self._ticket(name)
        account = self._account(service.config.account)
        return await self._prober.probe(account, service.config, only_configured=only_configured)

    # accounts

    async def homes(self, name: str) -> list[Row]:
        """Plants and modules, where the catalogue is open to the account. Raises: BrokerError."""
        return await self._homes.list(self._account(name))

    async def id_token(
        self, name: str, *, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> VendedIdToken | None:
        """The account's id token. Raises: BrokerError."""
        account = self._account(name)
        try:
            held = await self._fresh_id_token(account, min_validity_seconds, wait_seconds, newer_than)
        except Unchanged:
            return None
        left = held.life.remaining(self._timekeeper.now())
        return VendedIdToken(
            name=name,
            id_token=held.token,
            generation=held.generation,
            issued_at=held.life.issued_at,
            expires_at=held.life.expires_at,
            expires_in_seconds=max(0, int(left or 0)),
        )

    async def _fresh_id_token(
        self, account: Account, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> HeldToken:
        identity = account.identity
        if not identity.usable and identity.token.usable(self._timekeeper.now()) is None:
            raise identity.why_no_login()
        held = await identity.token.get(
            min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=newer_than
        )
        session = identity.session
        return held if session is None or session.id_token is None else session.id_token

    async def begin_login(self, name: str) -> Row:
        """Begin a login; an earlier one of this account is void. Raises: BrokerError."""
        pending = await self._logins.begin(self._account(name).identity)
        self._wake()
        return {
            "authorization_url": pending.login.authorization_url,
            "short_url": self._logins.short_url(pending),
            "redirect_uri": pending.login.redirect_uri,
            "expires_at": pending.expires_at,
            "listening": self._logins.listen_problem is None,
            "listen_problem": self._logins.listen_problem,
        }

    async def complete_login(self, name: str, response: Secret) -> Row:
        """Take what the person brought back. Raises: BrokerError."""
        account = self._account(name)
        await self._logins.complete(account.identity, response)
        self._wake()
        return self._account_row(account)

    async def refresh_account(self, name: str) -> Row:
        """One refresh now. Raises: BrokerError."""
        account = self._account(name)
        await account.identity.refresh_now()
        self._wake()
        return self._account_row(account)

    async def logout(self, name: str) -> Row:
        """Drop login, tickets and published files. Raises: StoreUnavailable."""
        account = self._account(name)
        await self._logins.void(name)
        await account.identity.logout()
        for ticket in account.tickets.values():
            await ticket.withdraw()
        await account.book.commit()
        self._wake()
        return self._account_row(account)

    # the whole

    async def reload(self) -> Row:
        """Read the configuration again. Raises: ConfigError, with the old one in force."""
        return await self._reload()


def vended_row(vended: VendedTicket) -> Row:
    """A vended ticket as the body of its answer."""
    return {
        "name": vended.name,
        "ticket": vended.ticket.reveal(),
        "generation": vended.generation,
        "issued_at": vended.issued_at,
        "expires_at": vended.expires_at,
        "expires_in": vended.expires_in_seconds,
        "plant_id": vended.plant_id,
        "device_id": vended.device_id,
        "sender": dict(vended.sender),
    }
