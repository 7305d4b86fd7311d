"""Scenarios: the weather that `eliot-broker sandbox --scenario NAME` plays, as data.

Knows the cloud's controls, no HTTP. The one invariant: a scenario is nothing but changes at times after its start
(seconds), each of which a test could make by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.sandbox.api_errors import API_ERRORS, CAPTIVE_PORTAL, api_fault
from broker.sandbox.calls import ENDPOINTS
from broker.sandbox.oauth_errors import token_fault
from broker.sandbox.weather import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.cloud import Cloud


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
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}


def named_fault(name: str) -> Fault:
    """The fault of an API error's name, of a code `AADB2C…`, or `captive_portal`. Raises: KeyError."""
    if name == "captive_portal":
        return CAPTIVE_PORTAL
    return api_fault(name) if name in API_ERRORS else token_fault(name)


def apply_change(cloud: Cloud, action: str, values: Mapping[str, Any]) -> None:
    """Do one step's action on `cloud`. Raises: KeyError, AttributeError, TypeError for what does not exist."""
    if action == "options":
        sets = {name: set(value) if name == "subscription_keys" else value for name, value in values.items()}
        cloud.options.change(**sets)
    elif action == "weather":
        fault = named_fault(values["error"]) if "error" in values else Fault(**values["fault"])
        for endpoint in ENDPOINTS:
            cloud.script.add(endpoint, fault, times=None)
    else:
        actions = {
            "clear": cloud.script.clear,
            "release": cloud.script.release,
            "keys": cloud.rotate_keys,
            "revoke": cloud.revoke,
            "expire": cloud.expire_logins,
            "quota": cloud.exhaust_quota,
        }
        actions[action](**values)
