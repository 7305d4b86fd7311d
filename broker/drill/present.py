"""What an account has in hand now, as data: lives that go on, calls that count, failures that are waited out.

Read from a running broker's own status document, which has no secret in it. Knows the document, no service. The one
invariant: what the document does not tell is not guessed, but for when in the last day the calls were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = Mapping[str, Any]

HOURS = {
    f"{day} {hour:02}:00": 24 * place + hour
    for place, day in enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"))
    for hour in range(24)
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A failure that is waited out; times in seconds, from now."""

    code: str
    remedy: str
    detail: str
    count: int
    began_ago: float
    next_attempt_in: float


@dataclass(frozen=True, slots=True)
class Held:
    """One ticket: how long what is in hand is still good (None: nothing is), and what was learnt of its demand.

    `hours` are requests an hour in those hours of the week (0 is Monday 00:00 UTC) in which most come.
    """

    name: str
    left_seconds: float | None = None
    in_hand: int = 0
    life_seconds: float | None = None
    told: bool = False
    failure: Waiting | None = None
    hours: tuple[tuple[int, float], ...] = ()
    asked_ago: float | None = None
    learnt_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Present:
    """An account that is logged in, at Unix time `at_seconds`; all other times are seconds from then, or before it."""

    at_seconds: float
    logged_in_ago: float
    login_left: float | None  # until the refresh token, or the provider's window, ends; None: nobody has told
    token_ago: float | None = None  # since the id token came; None: there is none
    token_left: float = 0.0
    token_failure: Waiting | None = None
    calls_used: int = 0
    next_call_in: float = 0.0
    next_prefetch_in: float = 0.0
    stopped_for: float = 0.0
    tickets: tuple[Held, ...] = ()

    @property
    def token_waits(self) -> float:
        """How long the token endpoint is left alone."""
        return 0.0 if self.token_failure is None else self.token_failure.next_attempt_in

    @property
    def calls_wait(self) -> float:
        """How long the API is left alone, by one ticket at least."""
        waits = [held.failure.next_attempt_in for held in self.tickets if held.failure is not None]
        return max([self.stopped_for, self.next_prefetch_in, *waits])


def present_of(status: Row, account: str) -> Present | None:
    """What the status document tells of this account; None where it is not logged in. Raises: KeyError, TypeError."""
    row = next((row for row in status["accounts"] if row["name"] == account), None)
    if row is None or row["state"] != "logged_in" or row["logged_in_at"] is None:
        return None
    now, token, quota = float(status["now"]), row["id_token"], row["quota"]
    lives = token is not None and token["expires_in"] is not None and token["expires_in"] > 0
    return Present(
        at_seconds=now,
        logged_in_ago=max(0.0, now - row["logged_in_at"]),
        login_left=_number(row["runway"]["login"]),
        token_ago=max(0.0, now - token["issued_at"]) if lives else None,
        token_left=float(token["expires_in"]) if lives else 0.0,
        token_failure=_waiting(row["last_failure"], now),
        calls_used=int(quota["used"]),
        next_call_in=float(quota["next_call_in"] or 0.0),
        next_prefetch_in=float(quota["next_prefetch_in"] or 0.0),
        stopped_for=float(quota["stopped_for"] or 0.0),
        tickets=tuple(_held(ticket, now) for ticket in status["tickets"] if ticket["account"] == account),
    )


def _held(row: Row, now: float) -> Held:
    plan, demand = row["plan"], row["plan"]["demand"] or {}
    return Held(
        name=row["name"],
        left_seconds=_number(row["expires_in"]),
        in_hand=int(row["in_hand"]),
        life_seconds=_number(plan["life_seconds"]),
        told=row["state"] == "unavailable" and row["code"] is not None,
        failure=_waiting(row["last_failure"], now),
        hours=tuple((HOURS[each["hour"]], float(each["an_hour"])) for each in demand.get("busiest", ())),
        asked_ago=None if demand.get("last_request") is None else max(0.0, now - demand["last_request"]),
        learnt_for=0.0 if demand.get("since") is None else max(0.0, now - demand["since"]),
    )


def _waiting(row: Row | None, now: float) -> Waiting | None:
    if row is None:
        return None
    began = now if row["at"] is None else float(row["at"])
    wait = float(row["next_attempt_in"] or 0.0)
    return Waiting(row["code"], row["remedy"], row["detail"], int(row["count"]), max(0.0, now - began), wait)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def present_from(row: Mapping[str, Any]) -> Present:
    """The reverse of `dataclasses.asdict`. Raises: KeyError, TypeError."""

    def waiting(value: Any) -> Waiting | None:
        return None if value is None else Waiting(**value)

    def held(value: Row) -> Held:
        hours = tuple((int(hour), float(rate)) for hour, rate in value["hours"])
        return Held(**{**value, "failure": waiting(value["failure"]), "hours": hours})

    tickets = tuple(held(each) for each in row["tickets"])
    return Present(**{**row, "token_failure": waiting(row["token_failure"]), "tickets": tickets})
