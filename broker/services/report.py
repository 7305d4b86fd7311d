"""What is told of accounts and tickets: rows for the socket, JSON-ready and without a secret.

Knows the services' state, no HTTP. The one invariant: a row is made from what is there, without I/O.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from broker.core import quota
from broker.core.freshness import Freshness
from broker.errors import BrokerError, Code

if TYPE_CHECKING:
    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.services.fleet import Account
    from broker.services.logins import Pending
    from broker.services.tickets import TicketService

Row = dict[str, Any]


def whole(seconds: float | None) -> int | None:
    """Whole seconds, rounded down; None for unknown and for never."""
    return None if seconds is None or math.isinf(seconds) else int(seconds)


def ticket_row(ticket: TicketService, now: Instant) -> Row:
    """One row of GET /v1/tickets, without `allowed`."""
    held = ticket.ref.usable(now)
    error = ticket.why_unavailable(now)
    state = "unavailable"
    if held is not None:
        state = "stale" if ticket.ref.freshness(now) is Freshness.STALE or ticket.ref.in_flight else "fresh"
    return {
        "name": ticket.name,
        "account": ticket.config.account,
        "state": state,
        "code": None if error is None else error.code.value,
        "generation": None if held is None else held.generation,
        "expires_at": None if held is None else held.life.expires_at,
        "expires_in": None if held is None else whole(held.life.remaining(now)),
    }


def ticket_details(ticket: TicketService, account: Account, now: Instant) -> Row:
    """One ticket of GET /v1/status."""
    error = ticket.why_unavailable(now)
    held = ticket.ref.usable(now)
    due = ticket.due_in(now)
    return {
        **ticket_row(ticket, now),
        **problem_fields(error),
        "issued_at": None if held is None else held.life.issued_at,
        "warm": ticket.config.warm,
        "single_use": ticket.config.single_use,
        "in_hand": len(ticket.page.held),
        "next_renewal_in": whole(due),
        "last_failure": failure_row(ticket.ref.failure, now),
        "plan": {"words": account.plan.words, "life_seconds": whole(ticket.page.life_seconds)},
    }


def problem_fields(error: BrokerError | None) -> Row:
    """Why something is not there, in the words of the problem documents."""
    if error is None:
        return {"code": None, "remedy": None, "detail": None, "hint": None}
    return {"code": error.code.value, "remedy": error.remedy.value, "detail": error.message, "hint": error.hint}


def failure_row(failure: Failure | None, now: Instant) -> Row | None:
    """The last failure with the next attempt."""
    if failure is None:
        return None
    at = failure.last.true_seconds
    return {
        "at": whole(at),
        "code": failure.code.value,
        "remedy": failure.remedy.value,
        "detail": failure.message,
        "hint": failure.hint,
        "count": failure.count,
        "next_attempt_in": whole(failure.next_attempt_in(now)),
    }


def account_problem(account: Account) -> BrokerError | None:
    """What is wrong with an account's login, for a person to know; None while it can be refreshed."""
    identity = account.identity
    if not identity.usable:
        return identity.why_no_login()
    return None


def account_state(account: Account, pending: Pending | None) -> str:
    """The contract's word for the login."""
    identity = account.identity
    if identity.blocked is not None:
        return "config_error"
    if identity.usable:
        failure = identity.token.failure
        if failure is not None and failure.code is Code.CONFIG_ERROR:
            return "config_error"
        return "logged_in"
    if pending is not None:
        return "login_pending"
    return "logged_out" if identity.journal.session is None and identity.damage is None else "login_required"


def account_row(account: Account, pending: Pending | None, now: Instant, wall_seconds: float) -> Row:
    """One row of GET /v1/accounts."""
    identity = account.identity
    session = identity.session
    left = identity.login_left(now)
    due = identity.due_in(now)
    failure = identity.token.failure
    error = account_problem(account) or (None if failure is None else failure.error(now))
    return {
        "name": account.config.name,
        "provider": account.config.provider,
        "state": account_state(account, pending),
        **problem_fields(error),
        "subject": None if session is None else session.subject,
        "display_name": None if session is None else session.display_name,
        "logged_in_at": None if session is None else whole(session.logged_in.true_seconds),
        "login_expires_at": None if left is None or session is None else int(wall_seconds + left),
        "id_token": _id_token_row(account, now),
        "next_refresh_in": whole(due),
        "next_refresh_at": None if math.isinf(due) else int(wall_seconds + due),
        "last_failure": failure_row(failure, now),
        "login": None if pending is None else {"pending": True, "expires_at": pending.expires_at},
        "quota": quota_row(account, now),
        "plan": account.plan.words,
        "unsaved": identity.journal.unsaved,
        "runway": {"login": whole(left), "tickets": whole(account.runway_seconds(now))},
    }


def _id_token_row(account: Account, now: Instant) -> Row | None:
    session = account.identity.session
    held = None if session is None else session.id_token
    if held is None:
        return None
    return {
        "generation": held.generation,
        "issued_at": held.life.issued_at,
        "expires_at": held.life.expires_at,
        "expires_in": whole(held.life.remaining(now)),
    }


def quota_row(account: Account, now: Instant) -> Row:
    """The account's calls in the window."""
    rule, ledger = account.calls.rule, account.book.ledger
    used = quota.used(ledger, rule, now)
    return {
        "limit": rule.daily or None,
        "used": used,
        "remaining": None if rule.daily == 0 else max(0, rule.daily - used),
        "reserve": rule.reserve,
        "resets": rule.reset,
        "stopped_for": whole(quota.stopped_for(ledger, now)),
    }
