"""Makes scripts out of seeds: households, hostile months and ordinary years.

Pure but for the seed's own dice. The one invariant: what is drawn is described by the tables here, not by what the
broker can stand.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.drill.script import DAY, HOUR, MINUTE, Door, Happening, Household, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Weather = dict[str, tuple[float, Callable[[random.Random], tuple[float, dict[str, Any]]]]]

MONTH = 30 * DAY
Dice = random.Random
WHERE = ("token", "api", "all")
FORMS = ("refused", "timeout", "500", "502", "503", "504")

HOSTILE: Weather = {
    # kind: (times a month, how long it lasts and what more is to be said)
    "outage": (5, lambda d: (d.choice((90, 900, 7200, 20_000)) * d.uniform(0.3, 1.5), _where(d, form=d.choice(FORMS)))),
    "lost_answers": (2, lambda d: (d.uniform(30, 1800), _where(d))),
    "slow": (2, lambda d: (d.uniform(300, 7200), _where(d, seconds=d.choice((3, 9, 14, 19, 25))))),
    "portal": (1, lambda d: (d.uniform(300, 20_000), {})),
    "junk": (1.5, lambda d: (d.uniform(60, 3600), _where(d, form=d.choice(("html", "redirect", "empty", "blank"))))),
    "busy": (1.5, lambda d: (d.uniform(30, 900), _where(d, **_told(d)))),
    "gateway_offline": (1, lambda d: (d.uniform(60, 8 * HOUR), {})),
    "token_refused": (0.5, lambda d: (d.uniform(60, 4 * HOUR), {})),
    "forbidden": (0.3, lambda d: (d.uniform(60, 4 * HOUR), {})),
    "key_refused": (0.3, lambda d: (d.uniform(HOUR, 12 * HOUR), {})),
    "person_must_act": (0.3, lambda d: (d.uniform(HOUR, 24 * HOUR), {})),
    "quota_gone": (0.5, lambda d: (d.uniform(600, 20 * HOUR), {})),
    "secret_expired": (0.3, lambda d: (d.uniform(HOUR, 24 * HOUR), {})),
    "keys_unreachable": (1, lambda d: (d.uniform(60, 4 * HOUR), {})),
    "bad_signature": (0.5, lambda d: (d.uniform(60, HOUR), {})),
    "temporary": (1, lambda d: (d.uniform(30, HOUR), {})),
    "revoked": (0.2, lambda _: (0.0, {})),
    "strict": (0.5, lambda d: (d.uniform(DAY, 10 * DAY), {})),
    "keeps_token": (0.5, lambda d: (d.uniform(HOUR, 5 * DAY), {})),
    "as_strings": (0.5, lambda d: (d.uniform(HOUR, 10 * DAY), {})),
    "no_date": (0.5, lambda d: (d.uniform(HOUR, 5 * DAY), {})),
    "suspend": (2, lambda d: (d.choice((60, 1800, 8 * HOUR, 2 * DAY)) * d.uniform(0.5, 1.5), {})),
    "clock_step": (1, lambda d: (d.uniform(60, DAY), {"by": d.choice((-DAY, -HOUR, -90, 90, HOUR, DAY, 3000 * DAY))})),
    "drift": (0.5, lambda d: (d.uniform(DAY, 10 * DAY), {"ppm": d.uniform(-200, 200)})),
    "kill": (4, lambda d: (d.choice((2, 10, 300, 5000)) * d.uniform(0.5, 1.5), {})),
    "crash": (4, lambda d: (0.0, {"operations": d.randrange(12)})),
    "power_cut": (1, lambda d: (d.choice((20, 600, 9 * HOUR)) * d.uniform(0.5, 1.5), _board(d))),
    "disk": (1.5, lambda d: (d.uniform(60, 10 * HOUR), {"form": d.choice(("full", "eio", "readonly"))})),
    "reload": (1, lambda _: (0.0, {})),
    "refused": (2, lambda _: (0.0, {})),
    "burst": (2, lambda d: (0.0, {"callers": d.randrange(2, 20)})),
}

MORE: Weather = {
    # drawn with dice of their own: the months of before are the same without it
    "device_offline": (1, lambda d: (d.uniform(60, 8 * HOUR), {"door": d.randrange(2)})),
    "rolled_back": (0.3, lambda _: (0.0, {})),
    "hang_up": (2, lambda d: (0.0, {"after": d.choice((0.01, 0.2, 5.0))})),
    "power_cut": (0.7, lambda d: (d.choice((600, 9 * HOUR)) * d.uniform(0.5, 1.5), _slow_board(d))),
    "outage": (1, lambda d: (d.uniform(60, 7200), {"where": "api", "form": d.choice(("408", "486"))})),
    "person_must_act": (0.3, lambda d: (d.uniform(HOUR, 24 * HOUR), {"status": 470})),
    "key_roll": (1, lambda _: (0.0, {})),
}

ORDINARY: dict[str, float] = {
    # kind: times a year, in an ordinary household
    "outage": 14,
    "lost_answers": 3,
    "slow": 6,
    "busy": 3,
    "gateway_offline": 4,
    "temporary": 4,
    "keys_unreachable": 2,
    "quota_gone": 0.5,
    "suspend": 2,
    "clock_step": 1,
    "kill": 6,
    "crash": 1,
    "power_cut": 3,
    "disk": 0.5,
    "reload": 3,
    "secret_expired": 0.5,
}


def hostile_month(seed: int, *, more: bool = True) -> Script:
    """A month in which everything goes wrong, for a household of any kind; without `more`, as it was at first."""
    dice = random.Random(f"{seed}/month")  # noqa: S311 -- weather, not cryptography
    chance = dice.choice((0.5, 1.0, 2.0))
    happenings = _draw(dice, MONTH, {kind: rate * chance for kind, (rate, _) in HOSTILE.items()}, MONTH)
    script = Script(seed, MONTH, _any_household(dice), happenings)
    if not more:
        return script
    dice = random.Random(f"{seed}/more")  # noqa: S311 -- weather, not cryptography
    further = _draw(dice, MONTH, {kind: rate * chance for kind, (rate, _) in MORE.items()}, MONTH, MORE)
    household = replace(script.household, window_told=dice.random() < 0.5)  # noqa: PLR2004
    return replace(script, household=household, happenings=_in_order((*happenings, *further)))


def ordinary(seed: int, years: float) -> Script:
    """Years of one household: one-hour tickets, an outage a month, now and then a power cut or a full disk."""
    dice = random.Random(f"{seed}/ordinary")  # noqa: S311 -- weather, not cryptography
    span = years * 365 * DAY
    return Script(seed, span, Household(), _draw(dice, span, ORDINARY, 365 * DAY))


def _draw(
    dice: Dice, span: float, rates: dict[str, float], per_seconds: float, weather: Weather = HOSTILE
) -> tuple[Happening, ...]:
    found = []
    for kind, rate in rates.items():
        make = weather[kind][1]
        at = dice.expovariate(rate / per_seconds)
        while at < span:
            lasts, values = make(dice)
            found.append(Happening(round(at, 2), kind, round(lasts, 2), values))
            at += max(lasts, MINUTE) + dice.expovariate(rate / per_seconds)
    return _in_order(found)


def _in_order(happenings: Iterable[Happening]) -> tuple[Happening, ...]:
    return tuple(sorted(happenings, key=lambda it: (it.at_seconds, it.kind)))


def _any_household(dice: Dice) -> Household:
    ticket_seconds = dice.choice((1800.0, 3600.0, 3600.0, 6 * HOUR, 24 * HOUR))
    kind = dice.choice(("plain", "plain", "two", "single", "on-demand", "adaptive"))
    doors: tuple[Door, ...] = (Door("front-door", requests_a_day=dice.choice((4.0, 12.0, 60.0))),)
    if kind == "two":
        doors = (*doors, Door("garden-gate", requests_a_day=6.0))
    elif kind == "single":
        doors = (*doors, Door("gate", single_use=True, pool=dice.choice((1, 3)), requests_a_day=10.0))
    elif kind != "plain":
        doors = (*doors, Door("gate", warm=kind, requests_a_day=10.0))
    return Household(
        doors=doors,
        ticket_seconds=ticket_seconds,
        id_token_seconds=dice.choice((3600.0, 3600.0, 6 * HOUR, 24 * HOUR)),
        refresh_token_seconds=dice.choice((DAY, 14 * DAY, 14 * DAY, 90 * DAY)),
        sliding_window_seconds=dice.choice((None, None, 12 * DAY, 90 * DAY)),
        daily_quota=dice.choice((500, 500, 500, 60)),
        quota_reserve=dice.choice((50, 20)),
        rotation=dice.choice(("lenient", "lenient", "strict")),
        opaque_tickets=dice.random() < 0.2,  # noqa: PLR2004
        answer_seconds=dice.choice((0.05, 0.3, 1.5)),
        person_seconds=dice.choice((MINUTE, 6 * HOUR, 2 * DAY)),
    )


def _where(dice: Dice, **values: Any) -> dict[str, Any]:
    return {"where": dice.choice(WHERE), **values}


def _told(dice: Dice) -> dict[str, Any]:
    return {"retry_after": dice.choice((20, 57, 300, 1800))} if dice.random() < 0.7 else {}  # noqa: PLR2004


def _board(dice: Dice) -> dict[str, Any]:
    """Whether the machine's own clock goes on without power; else it boots in 1970 and is told the time later."""
    return {} if dice.random() < 0.6 else {"rtc": False, "ntp_after": round(dice.uniform(10, 1200))}  # noqa: PLR2004


def _slow_board(dice: Dice) -> dict[str, Any]:
    """The machine's own clock goes on without power, and is wrong after it."""
    off_by = dice.choice((-DAY, -2 * HOUR, -90.0, 90.0, 2 * HOUR, DAY))
    return {"off_by": off_by, "ntp_after": round(dice.choice((30, 4 * HOUR)) * dice.uniform(0.5, 1.5))}
