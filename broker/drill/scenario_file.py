"""A scenario that a user wrote: a JSON file of happenings, checked before it is played.

Knows the script's data, nothing of how it is played. The one invariant: what is refused is named, with what would do;
what is accepted can be played.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from broker.drill.script import KINDS, Household, Script, from_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = tuple[str, Callable[[Any], bool]]  # what is expected, and whether it is

TOP = ("happenings", "seconds", "household", "seed", "present")
FIELDS = ("at_seconds", "kind", "lasts_seconds", "values")
LONGEST_SECONDS = 10 * 365 * 86_400.0
OUTAGES = ("refused", "timeout", "408", "486", "500", "502", "503", "504")


class BadScenario(ValueError):
    """There is no such scenario, or it says what cannot be played."""


class UnknownScenario(BadScenario):
    """No scenario has this name."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LONGEST_SECONDS


def _one_of(*words: str) -> Check:
    return f"one of {', '.join(words)}", lambda value: value in words


SECONDS: Check = ("seconds, 0 or more", lambda value: _number(value) and value >= 0)
NUMBER: Check = ("a number", _number)
COUNT: Check = ("a whole number, 0 or more", lambda value: type(value) is int and 0 <= value <= 1000)  # noqa: PLR2004
WHERE = {"where": _one_of("token", "api", "all")}
VALUES: dict[str, dict[str, Check]] = {
    "outage": {**WHERE, "form": _one_of(*OUTAGES)},
    "lost_answers": WHERE,
    "slow": {**WHERE, "seconds": SECONDS},
    "junk": {**WHERE, "form": _one_of("html", "redirect", "truncated", "empty", "blank")},
    "busy": {**WHERE, "retry_after": SECONDS},
    "clock_step": {"by": NUMBER},
    "drift": {"ppm": NUMBER},
    "crash": {"operations": COUNT},
    "power_cut": {
        "rtc": ("true or false", lambda value: isinstance(value, bool)),
        "off_by": NUMBER,
        "ntp_after": SECONDS,
    },
    "disk": {"form": _one_of("full", "eio", "readonly")},
    "burst": {"callers": COUNT},
    "device_offline": {"door": COUNT},
    "person_must_act": {"status": ("469 or 470", lambda value: value in (469, 470))},
    "hang_up": {"after": SECONDS},
}
NEEDED = {"slow": "seconds", "junk": "form", "clock_step": "by", "drift": "ppm"}


def read_scenario(path: Path, usual: Script, after_seconds: float) -> Script:
    """The file's script; what it does not say is as in `usual`, and it ends so long after its last happening.

    Raises: BadScenario.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadScenario(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadScenario(f"{path}: no JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("happenings"), list):
        raise BadScenario(f'{path}: must be an object with a list, like {{"happenings": []}}')
    _refuse_unknown(f"{path}", data, TOP)
    for place, row in enumerate(data["happenings"], 1):
        _check(f"{path}: happening {place}", row)
    if "seconds" in data:
        _expect(f"{path}: seconds", data["seconds"], SECONDS)
    household = data.get("household", {})
    if not isinstance(household, dict):
        raise BadScenario(f"{path}: household must be an object")
    _refuse_unknown(f"{path}: household", household, tuple(field.name for field in fields(Household)))
    try:
        found = from_json(json.dumps({"seed": usual.seed, "seconds": 0.0, **data}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadScenario(f"{path}: not understood: {error}") from None
    if "household" not in data:
        found = replace(found, household=usual.household, present=found.present or usual.present)
    ends = max((it.ends_seconds for it in found.happenings), default=0.0)
    return found if "seconds" in data else replace(found, seconds=ends + after_seconds)


def _check(where: str, row: Any) -> None:
    if not isinstance(row, dict):
        raise BadScenario(f"{where}: must be an object with at_seconds and kind")
    _refuse_unknown(where, row, FIELDS)
    kind = row.get("kind")
    if kind not in KINDS:
        raise BadScenario(f"{where}: kind must be one of {', '.join(KINDS)}")
    _expect(f"{where}: at_seconds", row.get("at_seconds"), SECONDS)
    _expect(f"{where}: lasts_seconds", row.get("lasts_seconds", 0), SECONDS)
    values = row.get("values", {})
    if not isinstance(values, dict):
        raise BadScenario(f"{where}: values must be an object")
    allowed = VALUES.get(kind, {})
    _refuse_unknown(f"{where}: values", values, tuple(allowed))
    for name, value in values.items():
        _expect(f"{where}: {name}", value, allowed[name])
    if NEEDED.get(kind, "") not in ("", *values):
        raise BadScenario(f"{where}: a {kind} needs values with {NEEDED[kind]}: {allowed[NEEDED[kind]][0]}")


def _expect(where: str, value: Any, check: Check) -> None:
    if not check[1](value):
        raise BadScenario(f"{where} must be {check[0]}, not {json.dumps(value)}")


def _refuse_unknown(where: str, row: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = next((name for name in row if name not in known), None)
    if unknown is not None:
        raise BadScenario(f"{where}: nothing is called {unknown}; there is {', '.join(known) or 'nothing to say'}")


__all__ = ["BadScenario", "UnknownScenario", "read_scenario"]
