"""What is told of accounts and tickets: rows for the socket, JSON-ready and without a secret.

Knows the services' state, no HTTP. The one invariant: a row is made from what is there, without I/O.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from broker.core import quota
from broker.core.demand import DAY_HOURS, WEEK_HOURS, forecast, hour_of_week
from broker.core.freshness import Freshness
from broker.errors import BrokerError, Code

if TYPE_CHECKING:
    from broker.core.demand import Demand
    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.services.account import Account
    from broker.services.logins import Pending
    from broker.services.tickets import TicketService

Row = dict[str, Any]
BUSIEST = 8
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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
    due, held_back = ticket.due_in(now), account.calls.gate_in(now, prefetch=not ticket.urgent(now))
    if not math.isinf(held_back):  # a quota that is used up, a failure of the account: nothing is tried before
        due = max(due, held_back)
    return {
        **ticket_row(ticket, now),
        **problem_fields(error),
        "issued_at": None if held is None else held.life.issued_at,
        "warm": ticket.config.warm,
        "single_use": ticket.config.single_use,
        "in_hand": len(ticket.page.held),
        "next_renewal_in": whole(due),
        "last_failure": failure_row(ticket.ref.failure, now),
        "plan": plan_row(ticket, account, now),
    }


def plan_row(ticket: TicketService, account: Account, now: Instant) -> Row:
    """What is planned for one ticket, and why."""
    need, planner, warm = ticket.need, account.planner, ticket.config.warm
    adaptive = warm == "adaptive"
    margin = None if need is None else planner.margin_seconds(need, adaptive=adaptive)
    return {
        "words": _warm_words(ticket, account, now),
        "life_seconds": whole(ticket.page.life_seconds),
        "margin_seconds": whole(margin),
        "kept_warm": ticket.wanted(now),
        "demand": None if not adaptive else demand_row(ticket.page.demand, now),
    }


def _warm_words(ticket: TicketService, account: Account, now: Instant) -> str:
    match ticket.config.warm:
        case "on-demand":
            return "fetched when asked for, kept until it expires, renewed behind only while somebody asks"
        case "adaptive" if not ticket.wanted(now):
            return "adaptive: not kept warm now, for the hours are not those in which it is asked for most"
        case "adaptive":
            return "adaptive: kept warm now, for somebody is likely to ask"
    return account.planner.words


def demand_row(demand: Demand | None, now: Instant) -> Row | None:
    """What was learnt of a ticket's requests: the busiest hours of the week (UTC) with their episodes an hour."""
    if demand is None or now.true_seconds is None:
        return None
    first = hour_of_week(now.true_seconds)
    week = forecast(demand, now.true_seconds, WEEK_HOURS)
    busiest = sorted(range(WEEK_HOURS), key=lambda offset: -week[offset])[:BUSIEST]
    return {
        "since": whole(demand.since),
        "last_request": whole(demand.last),
        "now_an_hour": round(week[0], 3),
        "busiest": [
            {"hour": _hour_words((first + offset) % WEEK_HOURS), "an_hour": round(week[offset], 2)}
            for offset in busiest
        ],
    }


def _hour_words(hour: int) -> str:
    return f"{DAYS[hour // DAY_HOURS]} {hour % DAY_HOURS:02}:00"


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


def account_row(
    account: Account, pending: Pending | None, ended: BrokerError | None, now: Instant, wall_seconds: float
) -> Row:
    """One row of GET /v1/accounts; `ended` is why the last login that was begun came to nothing."""
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
        "login_id": None if session is None else session.login_id,
        "logged_in_at": None if session is None else whole(session.logged_in.true_seconds),
        "login_expires_at": None if left is None or session is None else int(wall_seconds + left),
        "id_token": _id_token_row(account, now),
        "next_refresh_in": whole(due),
        "next_refresh_at": None if math.isinf(due) else int(wall_seconds + due),
        "last_failure": failure_row(failure, now),
        "login": _login_row(pending, ended),
        "quota": quota_row(account, now),
        "plan": account_plan_row(account),
        "unsaved": identity.journal.unsaved,
        "runway": {"login": whole(left), "tickets": whole(account.runway_seconds(now))},
    }


def _login_row(pending: Pending | None, ended: BrokerError | None) -> Row | None:
    if pending is not None:
        return {"pending": True, "expires_at": pending.expires_at}
    return None if ended is None else {"pending": False, **problem_fields(ended)}


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


def account_plan_row(account: Account) -> Row:
    """The account's plan: calls a day needed and allowed, and what that means."""
    planner = account.planner
    return {
        "words": planner.words,
        "needed": round(planner.needed),
        "planned": round(planner.planned),
        "allowed": None if planner.allowed is None else round(planner.allowed),
        "failure": None if account.calls.failure is None else account.calls.failure.code.value,
    }


def quota_row(account: Account, now: Instant) -> Row:
    """The account's calls in the window."""
    rule, ledger = account.calls.rule, account.book.ledger
    used, stopped = quota.used(ledger, rule, now), quota.stopped_for(ledger, now)
    left = None if rule.daily == 0 else max(0, rule.daily - used)
    reset = quota.next_reset_in(rule, now)
    return {
        "limit": rule.daily or None,
        "used": used,
        "remaining": 0 if stopped > 0 else left,
        "reserve": rule.reserve,
        "resets": rule.reset,
        "resets_in": whole(reset),
        "stopped_for": whole(stopped),
        "next_call_in": whole(quota.free_in(ledger, rule, now, prefetch=False)),
        "next_prefetch_in": whole(quota.free_in(ledger, rule, now, prefetch=True)),
    }
