"""Changes of the sandbox's cloud by name, as a scenario's step or the HTTP control orders them.

Knows the cloud's controls, no HTTP and no time. The one invariant: what does not exist is refused, not ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.sandbox.api_errors import API_ERRORS, CAPTIVE_PORTAL, api_fault
from broker.sandbox.calls import ENDPOINTS
from broker.sandbox.oauth_errors import token_fault
from broker.sandbox.weather import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.sandbox.calls import Endpoint
    from broker.sandbox.cloud import Cloud

_SETS = {"redirect_uris", "subscription_keys"}  # JSON has no sets


def named_fault(name: str) -> Fault:
    """The fault of an API error's name, of a code `AADB2C…`, or `captive_portal`. Raises: KeyError."""
    if name == "captive_portal":
        return CAPTIVE_PORTAL
    return api_fault(name) if name in API_ERRORS else token_fault(name)


def apply_change(cloud: Cloud, action: str, values: Mapping[str, Any]) -> None:
    """Do one step's action. Raises: KeyError, AttributeError, TypeError, ValueError for what does not exist."""
    actions: dict[str, Callable[..., None]] = {
        "options": lambda **changed: cloud.options.change(**_with_sets(changed)),
        "applications": lambda **changed: _change_applications(cloud, _with_sets(changed)),
        "weather": lambda **what: _add_weather(cloud, **what),
        "faults": lambda **what: _add_fault(cloud, **what),
        "clear": cloud.script.clear,
        "release": cloud.script.release,
        "keys": cloud.rotate_keys,
        "revoke": cloud.revoke,
        "expire": cloud.expire_logins,
        "quota": cloud.exhaust_quota,
    }
    actions[action](**values)


def _with_sets(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: set(value) if name in _SETS else value for name, value in values.items()}


def _change_applications(cloud: Cloud, values: Mapping[str, Any]) -> None:
    for application in cloud.options.applications.values():
        for name, value in values.items():
            getattr(application, name)
            setattr(application, name, value)


def _add_weather(cloud: Cloud, **what: Any) -> None:
    for endpoint in ENDPOINTS:
        _add_fault(cloud, endpoint, times=None, **what)


def _add_fault(
    cloud: Cloud, endpoint: Endpoint, *, error: str = "", fault: Mapping[str, Any] | None = None, times: int | None = 1
) -> None:
    if endpoint not in ENDPOINTS:
        raise ValueError(f"no endpoint {endpoint}")
    cloud.script.add(endpoint, named_fault(error) if error else Fault(**(fault or {})), times=times)
