"""The overview: what the broker says of itself as a whole. Status, readiness, metrics, and what a person must do.

Knows the fleet, no HTTP and no single question. The one invariant: everything here is told at once, from what is in
hand; nothing waits, and no secret is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError, UnknownAccount, UnknownTicket
from broker.services import report
from broker.services.attention import attention, ending, row
from broker.services.metrics import exposition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from broker.core.instant import Instant
    from broker.core.trouble import Trouble
    from broker.services.account import Account
    from broker.services.counters import Counters
    from broker.services.logins import Logins
    from broker.services.tickets import TicketService
    from broker.services.timekeeper import Timekeeper

Row = dict[str, Any]
DEFECT_HINT = "everything else goes on; please report it: eliot-broker bugreport"
STATUS_LINE_TICKETS = 50  # with more of them, the line that is made at every sweep says only how many


class Overview:
    """The fleet as a whole. `facts` are what status tells of the process itself: version, start, key source.

    `troubles` and `stood_for` are asked at each look: what is wrong outside accounts, and for how many seconds a
    problem (subject, code) has stood.
    """

    def __init__(self, *, logins: Logins, timekeeper: Timekeeper, facts: Row, counters: Counters) -> None:
        self.accounts_by_name: dict[str, Account] = {}
        self.degraded: BrokerError | None = None  # why there is no configuration in force
        self.troubles: Callable[[], Iterable[Trouble]] = tuple
        self.stood_for: Callable[[str, str], float | None] = lambda _subject, _code: None
        self._logins = logins
        self._timekeeper = timekeeper
        self._facts = facts
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

    def tickets(self) -> list[Row]:
        """Rows of GET /v1/tickets."""
        now = self._timekeeper.now()
        self._raise_degraded()
        return [report.ticket_row(ticket, now) for _, ticket in self._all_tickets()]

    def accounts(self) -> list[Row]:
        """Rows of GET /v1/accounts."""
        self._raise_degraded()
        return [self._account_row(account) for account in self.accounts_by_name.values()]

    def account(self, name: str) -> Row:
        """One row. Raises: UnknownAccount."""
        return self._account_row(self._account(name))

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
        """What is wrong with accounts and tickets, whoever mends it, and then what else a person must do or know."""
        rows = [("account", each) for each in accounts] + [("ticket", each) for each in tickets]
        told = [_problem(f"{kind} {each['name']}", each) for kind, each in rows if each["code"] is not None]
        known = {(each["subject"], each["code"]) for each in told}
        told += [each for each in self.attention() if (each["subject"], each["code"]) not in known]
        return [self._dated(each) for each in [*told, *self._ending(), *self._defects()]]

    def attention(self) -> list[Row]:
        """What a person must do, whether or not a ticket is still in hand."""
        accounts = self.accounts_by_name.values()
        return attention(accounts, self.degraded, self.troubles(), self._timekeeper.now())

    def _ending(self) -> list[Row]:
        """Logins that a person must renew before long; their reminders are `login.ending`'s, at times of its own."""
        return [found for each in self.accounts_by_name.values() for found in ending(each, self._timekeeper.now())]

    def _defects(self) -> list[Row]:
        count = sum(count for _, count in self._counters.of("eliot_broker_defects"))
        found = BrokerError("an error that nobody expected was met in the broker itself", hint=DEFECT_HINT)
        return [row("broker", found, count=count)] if count else []

    def _dated(self, problem: Row) -> Row:
        """With the moment since which it stands, where that is known."""
        seconds = self.stood_for(problem["subject"], problem["code"]) if problem["since"] is None else None
        return problem if seconds is None else {**problem, "since": int(self._timekeeper.wall_seconds() - seconds)}

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
        told = report.problem_fields(self.degraded)["detail"]
        return ready, {"ready": ready, "tickets": rows, "problem": told, "attention": self.attention()}

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
    fields = {field: row[field] for field in ("code", "remedy", "detail", "hint")}
    return {"subject": subject, **fields, "since": None, "count": None}
