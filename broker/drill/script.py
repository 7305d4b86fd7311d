"""A drill as data: the household, and what happens to it, each thing at its second. The same data, the same log.

Knows no service. A script is written as JSON and read back, so that a failure can be kept and replayed. The one
invariant: everything that chance decides is decided by the seed that the script carries.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from broker.drill.present import present_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker.drill.present import Present

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0
YEAR = 365 * DAY
JITTER = 0.9  # of a margin is left, at least
MARGIN = JITTER / 3  # of a ticket's life, when its renewal is due
PLANNED_PART = 0.97  # of the day's calls can be planned: each counts a few minutes longer than a day
CALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of happening stops: calls to the token endpoint, to the API, or the process itself.

    `recovery_seconds` is the longest that the broker may go on waiting once it is over, as its own backoff promises.
    """

    says: str
    token: bool = False
    api: bool = False
    process: bool = False
    recovery_seconds: float = 0.0


UPSTREAM_SECONDS = 330.0  # the longest pause of the general backoff, and a sweep
OFFLINE_SECONDS = 930.0
PATIENT_SECONDS = 3660.0

KINDS: dict[str, Kind] = {
    # the network and the cloud; `where` is "token", "api" or "all"
    "outage": Kind("no answer, or an error for an answer", token=True, api=True, recovery_seconds=UPSTREAM_SECONDS),
    "lost_answers": Kind(
        "the cloud does its work, its answers get lost", token=True, api=True, recovery_seconds=UPSTREAM_SECONDS
    ),
    "slow": Kind("answers take long", token=True, api=True, recovery_seconds=UPSTREAM_SECONDS),
    "portal": Kind("a hotel's Wi-Fi page answers everything", token=True, api=True, recovery_seconds=UPSTREAM_SECONDS),
    "junk": Kind("answers that are none", token=True, api=True, recovery_seconds=UPSTREAM_SECONDS),
    "busy": Kind("429, and how long to wait", token=True, api=True, recovery_seconds=UPSTREAM_SECONDS),
    # the API
    "gateway_offline": Kind("404: the home's gateway is offline", api=True, recovery_seconds=OFFLINE_SECONDS),
    "token_refused": Kind("401 for every token", api=True, recovery_seconds=PATIENT_SECONDS),
    "forbidden": Kind("403 that is no quota", api=True, recovery_seconds=PATIENT_SECONDS),
    "key_refused": Kind("401 that names the subscription key", api=True, recovery_seconds=PATIENT_SECONDS),
    "person_must_act": Kind("469 or 470: the vendor's app wants a person", api=True, recovery_seconds=PATIENT_SECONDS),
    "device_offline": Kind("404 for one door alone", recovery_seconds=OFFLINE_SECONDS),
    "quota_gone": Kind("403: out of call volume quota", api=True, recovery_seconds=UPSTREAM_SECONDS),
    # the identity provider
    "secret_expired": Kind(
        "invalid_client, until the operator renews the secret", token=True, recovery_seconds=PATIENT_SECONDS
    ),
    "keys_unreachable": Kind("the signing keys cannot be read", token=True, recovery_seconds=UPSTREAM_SECONDS),
    "bad_signature": Kind("id tokens that nobody signed", token=True, recovery_seconds=UPSTREAM_SECONDS),
    "key_roll": Kind(
        "id tokens are signed with a key that nobody has read", token=True, recovery_seconds=UPSTREAM_SECONDS
    ),
    "temporary": Kind("AADB2C90035: temporarily unavailable", token=True, recovery_seconds=UPSTREAM_SECONDS),
    "revoked": Kind("the provider revokes the login"),
    "rolled_back": Kind("the provider restores a backup: it knows the newest token no more, but the one before"),
    "strict": Kind("used refresh tokens are punished: the family is revoked"),
    "keeps_token": Kind("answers without a new refresh token"),
    "as_strings": Kind("numbers come as strings, unknown fields come along"),
    "no_date": Kind("answers without a Date"),
    # the machine
    "suspend": Kind("the machine sleeps", process=True, recovery_seconds=95.0),
    "clock_step": Kind("the wall clock is set wrong, and right again"),
    "drift": Kind("the clocks run fast, in parts per million"),
    "kill": Kind("the process is killed, and started again", process=True, recovery_seconds=65.0),
    "crash": Kind("the process dies in the middle of a write", process=True, recovery_seconds=65.0),
    "power_cut": Kind("no power; what was not synced is lost", process=True, recovery_seconds=125.0),
    "disk": Kind("every write fails"),
    "reload": Kind("the operator reloads the configuration"),
    # people
    "refused": Kind("the door refuses a ticket: a newer one is asked for"),
    "burst": Kind("many callers at once"),
    "hang_up": Kind("the door refuses a ticket; who asks for a newer one leaves before it comes"),
}


@dataclass(frozen=True, slots=True)
class Happening:
    """At `at_seconds` after the beginning something of `kind` begins, and lasts; `values` say more of it."""

    at_seconds: float
    kind: str
    lasts_seconds: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends_seconds(self) -> float:
        """When it is over."""
        return self.at_seconds + self.lasts_seconds

    def says(self) -> str:
        """For people."""
        more = ", ".join(f"{key} {value}" for key, value in sorted(self.values.items()))
        lasts = f" for {self.lasts_seconds:.0f} s" if self.lasts_seconds else ""
        return f"{self.kind}{lasts}{f' ({more})' if more else ''}"


@dataclass(frozen=True, slots=True)
class Door:
    """One ticket of the household."""

    name: str
    warm: str = "always"
    single_use: bool = False
    pool: int = 1
    min_validity_seconds: float = 30.0
    requests_a_day: float = 12.0
    hours: tuple[tuple[int, float], ...] = ()  # of the week (0: Monday 00:00 UTC), and requests an hour; else any hour


@dataclass(frozen=True, slots=True)
class Household:
    """Whose years these are: lives of tokens and tickets in seconds, doors, quota, and how soon a person comes."""

    doors: tuple[Door, ...] = (Door("front-door"),)
    ticket_seconds: float = 3600.0
    id_token_seconds: float = 3600.0
    refresh_token_seconds: float = 14 * DAY
    sliding_window_seconds: float | None = None  # None: the provider has none
    window_told: bool = True  # whether a refresh token is told to end with the window; B2C tells of its own life only
    window_configured: bool = True  # whether the configuration names the window, which no answer need tell
    rotation: str = "lenient"
    daily_quota: int = 500
    quota_reserve: int = 50
    opaque_tickets: bool = False
    answer_seconds: float = 0.3
    person_seconds: float = 6 * HOUR  # from `login.required` until somebody logs in

    def door_meant(self, happening: Happening) -> str:
        """The door that a happening of one door alone means."""
        return self.doors[int(happening.values.get("door", 0)) % len(self.doors)].name

    @property
    def planned_margin_seconds(self) -> float | None:
        """What is left of a warm ticket's life, at least, when it is renewed; None: the day's calls leave gaps.

        A third less its jitter; where the calls ahead of requests do not suffice for that, what they suffice for.
        """
        full = self.ticket_seconds * MARGIN
        if self.daily_quota == 0:
            return full
        warm = sum(door.pool if door.single_use else 1 for door in self.doors if door.warm == "always")
        spent = sum(door.requests_a_day for door in self.doors if door.single_use)
        allowed = (self.daily_quota - self.quota_reserve) * PLANNED_PART - spent
        if allowed <= 0:
            return None
        margin = min(full, (self.ticket_seconds - warm * DAY / allowed) * JITTER)
        floor = min(max(door.min_validity_seconds for door in self.doors), self.ticket_seconds / 10)
        return margin if margin > floor + CALL_SECONDS else None

    @property
    def plan_fits(self) -> bool:
        """Whether the day's calls suffice to keep every warm door's ticket without a gap."""
        return self.planned_margin_seconds is not None


@dataclass(frozen=True, slots=True)
class Script:
    """One drill."""

    seed: int
    seconds: float
    household: Household = field(default_factory=Household)
    happenings: tuple[Happening, ...] = ()
    present: Present | None = None  # what is in hand at the beginning; None: nothing, and a person logs in

    def without(self, dropped: Iterable[int]) -> Script:
        """The same with some happenings (by their places) left out."""
        gone = set(dropped)
        return replace(self, happenings=tuple(it for place, it in enumerate(self.happenings) if place not in gone))

    def to_json(self) -> str:
        """The script as text."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)


def from_json(text: str) -> Script:
    """The reverse of `to_json`. Raises: ValueError, KeyError, TypeError."""
    data = json.loads(text)
    household, present = data.pop("household", {}), data.pop("present", None)
    doors = tuple(_door(door) for door in household.pop("doors", [{"name": "front-door"}]))
    happenings = tuple(Happening(**happening) for happening in data.pop("happenings", ()))
    for happening in happenings:
        if happening.kind not in KINDS:
            raise ValueError(f"no kind of happening is called {happening.kind}")
    return Script(
        household=Household(doors=doors, **household),
        happenings=happenings,
        present=None if present is None else present_from(present),
        **data,
    )


def _door(row: Mapping[str, Any]) -> Door:
    hours = tuple((int(hour), float(rate)) for hour, rate in row.get("hours", ()))
    return Door(**{**row, "hours": hours})
