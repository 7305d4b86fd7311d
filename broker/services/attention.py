"""What a person must do, wherever it stands: the one list behind status, readiness and reminders.

Knows the services' state, no HTTP. A ticket in hand hides nothing here: a key that is refused is told while the last
ticket is still valid. What stands in no account (the hook, a refused reload) is handed in as Trouble. The one
invariant: only what somebody must act on, and an account's trouble once, not once a ticket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core.words import duration
from broker.errors import BrokerError, ClockUnsynchronized, LoginRequired, Remedy
from broker.services import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.core.trouble import Trouble
    from broker.services.account import Account

Row = dict[str, Any]


def attention(
    accounts: Iterable[Account], degraded: BrokerError | None, troubles: Iterable[Trouble], now: Instant
) -> list[Row]:
    """Rows of subject, code, remedy, detail, hint, since (Unix time) and count (how often it was met)."""
    rows = [] if degraded is None else [row("configuration", degraded)]
    if now.true_seconds is None:
        rows.append(row("clock", ClockUnsynchronized("no clock can be believed yet")))
    for account in accounts:
        rows += _of_account(account, now)
    return rows + [row(each.subject, each.error, each.since_seconds, each.count) for each in troubles]


def _of_account(account: Account, now: Instant) -> Iterator[Row]:
    name = account.config.name
    own = _account_error(account, now)
    if own is not None and _for_people(own):
        yield row(f"account {name}", own)
    trouble = account.identity.journal.trouble or account.book.trouble
    if trouble is not None:
        yield row(f"state of {name}", trouble)
    for ticket in account.tickets.values():
        if ticket.publication is not None and ticket.publication.refused is not None:
            yield row(f"published file of {ticket.name}", ticket.publication.refused)
        failure = ticket.ref.failure
        if failure is None:  # most of ten thousand, looked through in one turn of the loop
            continue
        error = failure.error(now)
        if _for_people(error) and (own is None or error.code is not own.code):
            yield row(f"ticket {ticket.name}", error)


def ending(account: Account, now: Instant) -> Iterator[Row]:
    """The login, where somebody was told that it ends soon and it still does."""
    identity = account.identity
    left = identity.login_left(now)
    if identity.usable and identity.session is not None and identity.session.warned and left is not None:
        name = account.config.name
        hint = f"run: eliot-broker login {name}"
        yield row(f"account {name}", LoginRequired(f"account {name}: the login ends in {duration(left)}", hint=hint))


def _account_error(account: Account, now: Instant) -> BrokerError | None:
    return (
        report.account_problem(account)
        or _error(account.calls.failure, now)
        or _error(account.identity.token.failure, now)
    )


def _error(failure: Failure | None, now: Instant) -> BrokerError | None:
    return None if failure is None else failure.error(now)


def _for_people(error: BrokerError) -> bool:
    return error.remedy in {Remedy.LOGIN, Remedy.FIX}


def row(subject: str, error: BrokerError, since_seconds: int | None = None, count: int | None = None) -> Row:
    """One problem as the status has it."""
    return {"subject": subject, **report.problem_fields(error), "since": since_seconds, "count": count}
