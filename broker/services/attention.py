"""What a person must do, wherever it stands: the one list behind status, readiness and reminders.

Knows the services' state, no HTTP. A ticket in hand hides nothing here: a key that is refused is told while the last
ticket is still valid. The one invariant: only what somebody must act on, and an account's trouble once, not once a
ticket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError, Remedy
from broker.services import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.services.account import Account

Row = dict[str, Any]


def attention(accounts: Iterable[Account], degraded: BrokerError | None, now: Instant) -> list[Row]:
    """Rows of subject, code, remedy, detail and hint."""
    rows = [] if degraded is None else [_row("configuration", degraded)]
    for account in accounts:
        rows += _of_account(account, now)
    return rows


def _of_account(account: Account, now: Instant) -> Iterator[Row]:
    name = account.config.name
    own = _account_error(account, now)
    if own is not None and _for_people(own):
        yield _row(f"account {name}", own)
    trouble = account.identity.journal.trouble or account.book.trouble
    if trouble is not None:
        yield _row(f"state of {name}", trouble)
    for ticket in account.tickets.values():
        failure = ticket.ref.failure
        if failure is None:  # most of ten thousand, looked through in one turn of the loop
            continue
        error = failure.error(now)
        if _for_people(error) and (own is None or error.code is not own.code):
            yield _row(f"ticket {ticket.name}", error)


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


def _row(subject: str, error: BrokerError) -> Row:
    return {"subject": subject, **report.problem_fields(error)}
