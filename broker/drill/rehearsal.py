"""Rehearsals for users: a bad day by its name, played on the household that their configuration describes.

Knows scripts and configurations, nothing of how a drill is played. The one invariant: a name with a duration means
what it says, and an unknown one lists those that there are.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.drill.climate import ordinary
from broker.drill.scenario_file import BadScenario, UnknownScenario, read_scenario
from broker.drill.script import DAY, HOUR, MINUTE, YEAR, Door, Happening, Household, Script

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.config import Config
    from broker.drill.present import Present

BEFORE_SECONDS = DAY  # quiet before it
AFTER_SECONDS = 12 * HOUR  # and after it
LONGEST_SECONDS = YEAR
ASKED_A_DAY, PAID_A_DAY = 144.0, 24.0  # callers: of a ticket that is in hand anyway, of one that each costs a call
UNITS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"([+-]?)(\d+(?:\.\d+)?)([smhd])")

# name: what it plays, the kind of happening, how long by default, more values
SCENARIOS: dict[str, tuple[str, str, float, Mapping[str, Any]]] = {
    "outage": ("nothing answers, for so long", "outage", 2 * HOUR, {"form": "refused"}),
    "api-down": ("the call-in operation answers 503", "outage", 2 * HOUR, {"form": "503", "where": "api"}),
    "suspend": ("the machine sleeps, for so long", "suspend", 8 * HOUR, {}),
    "login-dies": ("the provider revokes the login; a person comes after so long", "revoked", 0.0, {}),
    "clock": ("the wall clock is set wrong by so much, for an hour", "clock_step", HOUR, {}),
    "disk-full": ("no write succeeds, for so long", "disk", 6 * HOUR, {"form": "full"}),
    "quota-gone": ("403 for quota, for so long", "quota_gone", 6 * HOUR, {}),
    "captive-portal": ("a Wi-Fi page answers everything with 200", "portal", 2 * HOUR, {}),
    "gateway-offline": ("404: the home's gateway is offline", "gateway_offline", 2 * HOUR, {}),
    "power-cut": ("no power, and no clock that goes on without", "power_cut", HOUR, {"rtc": False, "ntp_after": 60}),
    "secret-expired": ("invalid_client until the secret is renewed", "secret_expired", DAY, {}),
}
YEAR_SAYS = "a year of ordinary weather: an outage a month, power cuts, updates, a full disk"


def names() -> list[tuple[str, str]]:
    """Every scenario with what it plays."""
    return [*((name, entry[0]) for name, entry in SCENARIOS.items()), ("year", YEAR_SAYS)]


def seconds_of(text: str) -> float:
    """`2h`, `30d`, `-1d` in seconds. Raises: BadScenario."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadScenario(f"{text!r} is no duration like 90s, 15m, 2h or 30d")
    seconds = float(f"{found[1]}{found[2]}") * UNITS[found[3]]
    if abs(seconds) > LONGEST_SECONDS:
        raise BadScenario(f"{text} is longer than a year")
    return seconds


def rehearsal(
    name: str, duration: str | None, household: Household, *, present: Present | None = None, seed: int = 1
) -> Script:
    """The script of a scenario for this household; with its `present` it begins at once. Raises: BadScenario."""
    if name == "year":
        if duration is not None:
            raise BadScenario("a year lasts a year: it takes no duration")
        return replace(ordinary(seed, 1.0), household=household, present=present)
    if name not in SCENARIOS:
        raise UnknownScenario(f"no scenario is called {name}")
    _, kind, lasts, values = SCENARIOS[name]
    told = None if duration is None else seconds_of(duration)
    if kind == "clock_step":
        values = {"by": -DAY if told is None else told}
    elif told is not None and told <= 0:
        raise BadScenario(f"{duration}: {name} lasts longer than that")
    elif kind == "revoked":
        household = replace(household, person_seconds=told or household.person_seconds)
    else:
        lasts = told or lasts
    before = BEFORE_SECONDS if present is None else 0.0
    after = AFTER_SECONDS + (household.person_seconds if kind == "revoked" else 0.0)
    script = Script(seed, before + lasts + after, household, (Happening(before, kind, lasts, values),), present)
    return with_stop(script)


def with_stop(script: Script) -> Script:
    """With the stop that the cloud has told: it answers 403 until that is over."""
    present = script.present
    if present is None or present.stopped_for <= 0:
        return script
    return replace(script, happenings=(Happening(0.0, "quota_gone", present.stopped_for), *script.happenings))


def from_file(path: Path, household: Household, *, present: Present | None = None, seed: int = 1) -> Script:
    """A scenario written as JSON, for this household unless it brings its own. Raises: BadScenario."""
    return with_stop(read_scenario(path, Script(seed, 0.0, household, present=present), AFTER_SECONDS))


def account_of(config: Config, account: str | None) -> str:
    """Whose tickets are rehearsed: the first account's, unless one is named. Raises: BadScenario."""
    if account is not None and account not in config.accounts:
        raise BadScenario(f"no account named {account} is configured; there is {', '.join(config.accounts)}")
    name = account or next(iter(config.accounts), None)
    if name is None:
        raise BadScenario("no account is configured")
    return name


def household_of(config: Config, account: str, present: Present | None) -> Household:
    """The household of one account's configuration, with the lives that its broker has observed, if it tells them."""
    settings = config.accounts[account]
    tickets = [ticket for ticket in config.tickets.values() if ticket.account == account]
    held = {each.name: each for each in present.tickets} if present is not None else {}
    doors = tuple(
        Door(
            it.name,
            it.warm,
            it.single_use,
            it.pool,
            it.min_validity_seconds,
            requests_a_day=ASKED_A_DAY if it.warm == "always" and not it.single_use else PAID_A_DAY,
            hours=held[it.name].hours if it.name in held else (),
        )
        for it in tickets
    )
    lives = [each.life_seconds for each in held.values() if each.life_seconds]
    household = Household(
        doors=doors or (Door("front-door"),),
        ticket_seconds=min(lives, default=min((it.assumed_lifetime_seconds for it in tickets), default=300.0)),
        sliding_window_seconds=settings.oauth.sliding_window_seconds,
        window_told=settings.provider != "b2c",
        daily_quota=settings.api.daily_quota,
        quota_reserve=settings.api.quota_reserve,
    )
    return household if present is None else _observed(household, present)


def _observed(household: Household, present: Present) -> Household:
    """With the lives of the tokens: the refresh token came with the id token, and both have lived since."""
    ago = present.token_ago or 0.0
    if present.token_ago is not None:
        household = replace(household, id_token_seconds=float(round(ago + present.token_left)))
    if present.login_left:
        household = replace(household, refresh_token_seconds=float(round(ago + present.login_left)))
    return household
