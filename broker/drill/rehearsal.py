"""Rehearsals for users: a bad day by its name, played on the household that their configuration describes.

Knows scripts and configurations, nothing of how a drill is played. The one invariant: a name with a duration means
what it says, and an unknown one lists those that there are.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.drill.climate import ordinary
from broker.drill.script import DAY, HOUR, MINUTE, Door, Happening, Household, Script, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.config import Config

BEFORE_SECONDS = DAY  # quiet before it
AFTER_SECONDS = 12 * HOUR  # and after it
UNITS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"([+-]?)(\d+(?:\.\d+)?)([smhd])")

# name: what it plays, the kind of happening, how long by default, more values
SCENARIOS: dict[str, tuple[str, str, float, Mapping[str, Any]]] = {
    "outage": ("nothing answers, for so long", "outage", 2 * HOUR, {"form": "refused"}),
    "api-down": ("the call-in operation answers 503", "outage", 2 * HOUR, {"form": "503", "where": "api"}),
    "suspend": ("the machine sleeps, for so long", "suspend", 8 * HOUR, {}),
    "login-dies": ("the provider revokes the login; a person comes after 6 h", "revoked", 0.0, {}),
    "clock": ("the wall clock is set wrong by so much, for an hour", "clock_step", HOUR, {}),
    "disk-full": ("no write succeeds, for so long", "disk", 6 * HOUR, {"form": "full"}),
    "quota-gone": ("403 for quota, for so long", "quota_gone", 6 * HOUR, {}),
    "captive-portal": ("a Wi-Fi page answers everything with 200", "portal", 2 * HOUR, {}),
    "gateway-offline": ("404: the home's gateway is offline", "gateway_offline", 2 * HOUR, {}),
    "power-cut": ("no power, and no clock that goes on without", "power_cut", HOUR, {"rtc": False, "ntp_after": 60}),
    "secret-expired": ("invalid_client until the secret is renewed", "secret_expired", DAY, {}),
}
YEAR_SAYS = "a year of ordinary weather: an outage a month, power cuts, updates, a full disk"


class UnknownScenario(ValueError):
    """There is no scenario of this name, or its duration cannot be read."""


def names() -> list[tuple[str, str]]:
    """Every scenario with what it plays."""
    return [*((name, entry[0]) for name, entry in SCENARIOS.items()), ("year", YEAR_SAYS)]


def seconds_of(text: str) -> float:
    """`2h`, `30d`, `-1d` in seconds. Raises: UnknownScenario."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UnknownScenario(f"{text!r} is no duration like 90s, 15m, 2h or 30d")
    return float(f"{found[1]}{found[2]}") * UNITS[found[3]]


def rehearsal(name: str, duration: str | None, household: Household, *, seed: int = 1) -> Script:
    """The script of a scenario for this household. Raises: UnknownScenario."""
    if name == "year":
        return replace(ordinary(seed, 1.0), household=household)
    if name not in SCENARIOS:
        raise UnknownScenario(f"no scenario is called {name}")
    _, kind, lasts, values = SCENARIOS[name]
    if duration is not None and kind == "clock_step":
        values = {"by": seconds_of(duration)}
    elif duration is not None:
        lasts = abs(seconds_of(duration))
    if kind == "clock_step" and "by" not in values:
        values = {"by": -DAY}
    happening = Happening(BEFORE_SECONDS, kind, lasts, values)
    return Script(seed, BEFORE_SECONDS + lasts + AFTER_SECONDS, household, (happening,))


def from_file(path: Path) -> Script:
    """A script written as JSON. Raises: UnknownScenario."""
    try:
        return from_json(path.read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnknownScenario(f"scenario file {path}: {error}") from None


def household_of(config: Config, account: str | None, status: Mapping[str, Any] | None) -> Household:
    """The household of one account's configuration, with what the running broker has observed, where it runs.

    Raises: UnknownScenario for an account that is not configured.
    """
    if account is not None and account not in config.accounts:
        raise UnknownScenario(f"no account named {account} is configured")
    settings = config.accounts[account] if account is not None else next(iter(config.accounts.values()), None)
    if settings is None:
        raise UnknownScenario("no account is configured")
    tickets = [ticket for ticket in config.tickets.values() if ticket.account == settings.name]
    doors = tuple(
        Door(it.name, it.warm, it.single_use, it.pool, it.min_validity_seconds, requests_a_day=24.0) for it in tickets
    )
    assumed = min((it.assumed_lifetime_seconds for it in tickets), default=300.0)
    household = Household(
        doors=doors or (Door("front-door"),),
        ticket_seconds=assumed,
        sliding_window_seconds=settings.oauth.sliding_window_seconds,
        daily_quota=settings.api.daily_quota,
        quota_reserve=settings.api.quota_reserve,
    )
    return household if status is None else _observed(household, settings.name, status)


def _observed(household: Household, account: str, status: Mapping[str, Any]) -> Household:
    """With the lives that were seen: of tickets, of the id token, and what is left of the login."""
    lives = [ticket["plan"]["life_seconds"] for ticket in status.get("tickets", ()) if ticket["account"] == account]
    known = [float(life) for life in lives if life]
    accounts: list[Mapping[str, Any]] = list(status.get("accounts", ()))
    row: Mapping[str, Any] = next((row for row in accounts if row["name"] == account), {})
    token, left = row.get("id_token"), (row.get("runway") or {}).get("login")
    changes: dict[str, Any] = {}
    if known:
        changes["ticket_seconds"] = min(known)
    if token:
        changes["id_token_seconds"] = float(token["expires_at"] - token["issued_at"])
    if left:
        changes["refresh_token_seconds"] = float(left)
    return replace(household, **changes)
