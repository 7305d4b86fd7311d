"""Scenarios: the weather that `eliot-broker sandbox --scenario NAME` plays, as data.

Knows the names of changes, not how they are made. The one invariant: a scenario is nothing but changes at times after
its start (seconds), each of which a test or a shell could make by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.sandbox import credentials

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Step:
    """At `at_seconds` after the start, do `action` with `values`."""

    at_seconds: float
    action: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, one line of what it plays, and its steps in order of time."""

    name: str
    plays: str
    steps: tuple[Step, ...] = ()


_SHORT = Step(0, "options", {"id_token_seconds": 60, "access_token_seconds": 60, "ticket_seconds": 20})


def _faults(
    at_seconds: float, endpoint: str, *, error: str | None = None, times: int | None = None, **fault: Any
) -> Step:
    """Faults at one endpoint: an error by its name, or the fields of a Fault; times None: until cleared."""
    what = {"error": error} if error else {"fault": fault}
    return Step(at_seconds, "faults", {"endpoint": endpoint, "times": times, **what})


_ALL = (
    Scenario("normal", "everything works: id tokens of an hour, tickets of five minutes"),
    Scenario("short-lived", "id tokens of 60 s and tickets of 20 s, so that renewals can be watched", (_SHORT,)),
    Scenario(
        "expiring-tokens",
        "short lives, and a refresh token that lives no longer than the id token",
        (_SHORT, Step(0, "options", {"refresh_token_seconds": 60, "rotation": "strict"})),
    ),
    Scenario(
        "rotated-keys",
        "the signing key changes after 20 s, and after 60 s again, the old one withdrawn",
        (_SHORT, Step(20, "keys", {"keep_old": True}), Step(60, "keys", {"keep_old": False})),
    ),
    Scenario(
        "outage",
        "after 15 s everything answers 503, from 45 s on connections are reset, after 90 s all is well",
        (
            _SHORT,
            Step(15, "weather", {"error": "unavailable"}),
            Step(45, "clear"),
            Step(45, "weather", {"fault": {"reset": "before_reading"}}),
            Step(90, "clear"),
        ),
    ),
    Scenario(
        "quota",
        "after 15 s the day's quota is used up, for one minute",
        (_SHORT, Step(15, "quota", {"left_seconds": 60})),
    ),
    Scenario(
        "login-expired", "after 20 s the login is revoked: a person must sign in again", (_SHORT, Step(20, "revoke"))
    ),
    Scenario(
        "gateway-offline",
        "the home's gateway is offline between 15 s and 60 s",
        (_SHORT, Step(15, "options", {"gateway_online": False}), Step(60, "options", {"gateway_online": True})),
    ),
    Scenario(
        "wrong-key",
        "after 15 s the subscription key is refused until the operator does something",
        (_SHORT, Step(15, "options", {"subscription_keys": []})),
    ),
    Scenario(
        "slow-answers",
        "between 15 s and 90 s every answer takes 4 s",
        (_SHORT, Step(15, "weather", {"fault": {"delay_seconds": 4.0}}), Step(90, "clear")),
    ),
    Scenario(
        "captive-portal",
        "between 15 s and 60 s a hotel's Wi-Fi page answers everything with status 200",
        (_SHORT, Step(15, "weather", {"error": "captive_portal"}), Step(60, "clear")),
    ),
    Scenario(
        "rate-limit",
        "between 15 s and 75 s every call is one too many: 429",
        (_SHORT, _faults(15, "call_in", error="rate_limit"), Step(75, "clear")),
    ),
    Scenario(
        "refused",
        "after 15 s every call is refused: 401, as for a wrong plant, device or token",
        (_SHORT, _faults(15, "call_in", error="unauthorized")),
    ),
    Scenario(
        "reply-url",
        "after 15 s the registered reply URL ends in a slash and ours does not: no login is let through",
        (_SHORT, Step(15, "applications", {"redirect_uris": [f"{credentials.REDIRECT_URI}/"]})),
    ),
    Scenario(
        "expired-code",
        "after 15 s the code of every login is too old by the time that it is used",
        (_SHORT, Step(15, "options", {"code_seconds": 0})),
    ),
    Scenario(
        "secret-expired",
        "after 15 s the application's client secret has expired",
        (_SHORT, Step(15, "applications", {"secret_expires_at": 0.0})),
    ),
    Scenario(
        "changed-answers",
        "after 15 s the ticket stands elsewhere in the answer, and a refresh brings no id token",
        (_SHORT, Step(15, "options", {"call_in_shape": "wrapped", "token_answer_fields": {"id_token": None}})),
    ),
    Scenario(
        "wrong-account",
        "after 15 s the browser logs in another person by itself, whose home it is not",
        (_SHORT, Step(15, "options", {"stale_session_user": credentials.OTHER_USER, "home_owner": credentials.USER})),
    ),
    Scenario(
        "lost-answer",
        "after 15 s an answer with a new refresh token is lost on its way, and the old one is good no longer",
        (_SHORT, Step(15, "options", {"rotation": "strict"}), _faults(15, "token", times=1, reset="after_commit")),
    ),
    Scenario(
        "telltale",
        "after 15 s all is refused, and the error texts repeat the tokens and keys that were sent",
        (
            _SHORT,
            Step(15, "options", {"telltale": True}),
            _faults(15, "call_in", error="forbidden"),
            _faults(15, "token", error="AADB2C90018"),
        ),
    ),
    Scenario(
        "hanging",
        "between 15 s and 90 s requests are taken and never answered",
        (_SHORT, Step(15, "weather", {"fault": {"hang": "before_commit"}}), Step(90, "clear"), Step(90, "release")),
    ),
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
