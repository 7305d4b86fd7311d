"""The desk: where callers' questions meet the services. What the socket API calls its backend.

Knows the fleet, no HTTP. The one invariant: a question about a ticket that is valid is answered without waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core.vended import ReadyTicket, VendedIdToken, VendedTicket
from broker.errors import BrokerError, UnknownAccount, UnknownTicket
from broker.services import report
from broker.services.attention import attention
from broker.services.metrics import exposition
from broker.services.refreshable import Unchanged

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable

    from broker.core.access import AccessPolicy
    from broker.core.instant import Instant
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
STATUS_LINE_TICKETS = 50  # with more of them, the line that is made at every sweep says only how many


class Desk:
    """Answers callers. `facts` are what status tells of the process itself: version, start, key source."""

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
        self.accounts_by_name: dict[str, Account] = {}
        self.policy: AccessPolicy | None = None
        self.degraded: BrokerError | None = None  # why there is no configuration in force
        self._logins = logins
        self._timekeeper = timekeeper
        self._facts = facts
        self._wake = wake
        self._reload = reload
        self._prober = prober
        self._homes = homes
        self._counters = counters

    def tell(self, fact: str, value: object) -> None:
        """Add a fact about the process to the status."""
        self._facts[fact] = value

    def status_line(self) -> str:
        """The state in one line, for the service manager."""
        if self.degraded is not None:
            return f"degraded: {self.degraded.message.splitlines()[0]}"
        now = self._timekeeper.now()
        names = [name for name, account in self.accounts_by_name.items() if not account.identity.usable]
        if names:
            return f"login required: {', '.join(names)}"
        tickets = sum(len(account.tickets) for account in self.accounts_by_name.values())
        if tickets > STATUS_LINE_TICKETS:
            return f"{tickets} tickets"
        runway = self._runway(now)["tickets"]
        left = "none kept warm" if runway is None else f"{runway} s if the Internet died now"
        ready, _ = self.readiness()
        return f"{'ready' if ready else 'not ready'}; tickets: {left}"

    def access(self) -> AccessPolicy:
        """The rules in force."""
        assert self.policy is not None
        return self.policy

    # tickets

    def tickets(self) -> list[Row]:
        """Rows of GET /v1/tickets."""
        now = self._timekeeper.now()
        self._raise_degraded()
        return [report.ticket_row(ticket, now) for _, ticket in self._all_tickets()]

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

    def accounts(self) -> list[Row]:
        """Rows of GET /v1/accounts."""
        self._raise_degraded()
        return [self._account_row(account) for account in self.accounts_by_name.values()]

    def account(self, name: str) -> Row:
        """One row. Raises: UnknownAccount."""
        return self._account_row(self._account(name))

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

    def status(self) -> Row:
        """Everything of GET /v1/status. Raises: ConfigError while there is no configuration."""
        now = self._timekeeper.now()
        accounts = self.accounts()
        tickets = [report.ticket_details(ticket, account, now) for account, ticket in self._all_tickets()]
        skew = self._timekeeper.skew_seconds
        return {
            **self._facts,
            "now": int(self._timekeeper.wall_seconds()),
            "clock": {
                "synchronized": now.true_seconds is not None,
                "skew_seconds": None if skew is None else round(skew),
            },
            "accounts": accounts,
            "tickets": tickets,
            "runway": self._runway(now),
            "problems": self._problems(accounts, tickets),
        }

    def _runway(self, now: Instant) -> Row:
        warm = [account.runway_seconds(now) for account in self.accounts_by_name.values()]
        logins = [account.identity.login_left(now) for account in self.accounts_by_name.values()]
        tickets = min((seconds for seconds in warm if seconds is not None), default=None)
        login = min((seconds for seconds in logins if seconds is not None), default=None)
        return {"tickets": report.whole(tickets), "login": report.whole(login)}

    def _problems(self, accounts: list[Row], tickets: list[Row]) -> list[Row]:
        told = [] if self.degraded is None else [{"subject": "configuration", **report.problem_fields(self.degraded)}]
        for kind, rows in (("account", accounts), ("ticket", tickets)):
            told += [_problem(f"{kind} {row['name']}", row) for row in rows if row["code"] is not None]
        for account in self.accounts_by_name.values():
            trouble = account.identity.journal.trouble or account.book.trouble
            if trouble is not None:
                told.append({"subject": f"state of {account.config.name}", **report.problem_fields(trouble)})
        known = {(row["subject"], row["code"]) for row in told}
        return told + [row for row in self.attention() if (row["subject"], row["code"]) not in known]

    def attention(self) -> list[Row]:
        """What a person must do, whether or not a ticket is still in hand."""
        return attention(self.accounts_by_name.values(), self.degraded, self._timekeeper.now())

    def readiness(self) -> tuple[bool, Row]:
        """Whether every ticket that is kept warm can be had, each with its reason."""
        now = self._timekeeper.now()
        rows = [
            {"name": ticket.name, "ready": ticket.ref.usable(now) is not None, **report.problem_fields(reason)}
            for _, ticket in self._all_tickets()
            if ticket.config.warm == "always"
            for reason in (ticket.why_unavailable(now),)
        ]
        ready = self.degraded is None and all(row["ready"] for row in rows)
        return ready, {"ready": ready, "tickets": rows, "problem": report.problem_fields(self.degraded)["detail"]}

    def metrics(self) -> str:
        """The OpenMetrics text."""
        usable = self.degraded is None
        told: Row = self.status() if usable else {"tickets": [], "accounts": [], "clock": {"skew_seconds": None}}
        return exposition(told, self._counters, usable=usable)

    # finding

    def _all_tickets(self) -> list[tuple[Account, TicketService]]:
        accounts = self.accounts_by_name.values()
        return [(account, ticket) for account in accounts for ticket in account.tickets.values()]

    def _ticket(self, name: str) -> TicketService:
        for account in self.accounts_by_name.values():
            if name in account.tickets:
                return account.tickets[name]
        raise self._missing(UnknownTicket(f"no ticket named {name} is configured"))

    def _account(self, name: str) -> Account:
        if name in self.accounts_by_name:
            return self.accounts_by_name[name]
        raise self._missing(UnknownAccount(f"no account named {name} is configured"))

    def _raise_degraded(self) -> None:
        if self.degraded is not None:
            raise self.degraded

    def _missing(self, error: BrokerError) -> BrokerError:
        """While the configuration is bad, every name is answered by that."""
        return self.degraded or error

    def _account_row(self, account: Account) -> Row:
        now, wall = self._timekeeper.now(), self._timekeeper.wall_seconds()
        name = account.config.name
        return report.account_row(account, self._logins.pending(name), self._logins.ended(name), now, wall)


def _problem(subject: str, row: Row) -> Row:
    return {"subject": subject, **{field: row[field] for field in ("code", "remedy", "detail", "hint")}}


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
