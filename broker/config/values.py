"""What one value of broker.toml may be: words, numbers, durations, modes, rules, ids.

Pure, and knows no table and no file. A parser takes what TOML gave and returns what the dataclasses hold, or raises
Refused with problem and remedy. The one invariant: a refusal never repeats the value, for a secret may have been
pasted in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

Parser = Callable[[object], Any]
L = TypeVar("L", bound=str)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_REMEDY = "a name is a letter or digit, then up to 63 letters, digits, dots, underscores and hyphens"
EXAMPLE_ID = "00000000-0000-0000-0000-000000000000"

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_UNIT_SECONDS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}
_MODE = re.compile(r"(?:0o?)?([0-7]{3})")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME_OF_DAY = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_SYSTEM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|scope|socket|slice|timer|mount|path|target)")
_ID_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 section 3.3
_LARGEST_ID = 2**32 - 2


class Refused(Exception):
    """A value that cannot be used: pairs of problem and remedy."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        super().__init__(*pairs)
        self.pairs = pairs


def toml_type(value: object) -> str:
    """The name TOML has for the type of a value."""
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "a table"}
    return names.get(type(value), "a date or time")


def text(value: object) -> str:
    """A string of at least one character, without control characters."""
    if not isinstance(value, str):
        raise Refused((f"must be a string, not {toml_type(value)}", "put it in double quotes"))
    if not value.strip():
        raise Refused(("is empty", "give it a value or remove the line"))
    if not value.isprintable():
        raise Refused(("has control characters in it", "remove line breaks and other unprintable characters"))
    return value


def boolean(value: object) -> bool:
    """True or false, as TOML has them."""
    if not isinstance(value, bool):
        raise Refused((f"must be true or false, not {toml_type(value)}", "write true or false without quotes"))
    return value


def whole_number(smallest: int, largest: int) -> Callable[[object], int]:
    """Make a parser of integers from `smallest` to `largest`."""

    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused((f"must be a whole number, not {toml_type(value)}", f"write {smallest} to {largest}"))
        if not smallest <= value <= largest:
            raise Refused(("is out of range", f"write {smallest} to {largest}"))
        return value

    return parse


def one_of(choices: tuple[L, ...]) -> Callable[[object], L]:
    """Make a parser of a closed list of words."""
    listed = ", ".join(f'"{choice}"' for choice in choices)

    def parse(value: object) -> L:
        for choice in choices:
            if value == choice:
                return choice
        raise Refused(("is none of the words it may be", f"write one of {listed}"))

    return parse


def list_of(parse_entry: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    """Make a parser of an array whose entries are all checked."""

    def parse(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Refused((f"must be an array, not {toml_type(value)}", 'write ["…"], with square brackets'))
        entries: list[str] = []
        refusals: list[tuple[str, str]] = []
        for number, entry in enumerate(value, start=1):
            try:
                entries.append(parse_entry(entry))
            except Refused as error:
                refusals += [(f"entry {number} {problem}", remedy) for problem, remedy in error.pairs]
        if refusals:
            raise Refused(*refusals)
        return tuple(entries)

    return parse


def duration(smallest: float, largest: float) -> Callable[[object], float]:
    """Make a parser of durations from `smallest` to `largest` seconds: "90s", "5m", "2h", "14d" or a number."""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Refused((f"must be a duration, not {toml_type(value)}", _DURATION_REMEDY))
        seconds = _seconds(value) if isinstance(value, str) else value
        # compared before float(): an integer of TOML may be larger than any float; nan fails too
        if not smallest <= seconds <= largest:
            raise Refused(("is out of range", f"write {_shown(smallest)} to {_shown(largest)}"))
        return float(seconds)

    return parse


_DURATION_REMEDY = 'write "90s", "5m", "2h", "14d" or a number of seconds'


def _seconds(value: str) -> float:
    found = _DURATION.fullmatch(value)
    if not found:
        raise Refused(("is no duration", _DURATION_REMEDY))
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def _shown(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if seconds >= _UNIT_SECONDS[unit] and seconds % _UNIT_SECONDS[unit] == 0:
            return f'"{seconds / _UNIT_SECONDS[unit]:g}{unit}"'
    return f'"{seconds:g}s"'


def mode(value: object) -> int:
    """File permissions as an octal string, "0000" to "0777"."""
    found = _MODE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise Refused(("is no mode in octal digits", 'write it in quotes, like "0660"'))
    return int(found[1], 8)


def absolute_path(value: object) -> Path:
    """A path from the root; nothing is expanded."""
    path = Path(text(value))
    if not path.is_absolute():
        raise Refused(("is no absolute path", "begin it with a slash; ~ and variables are not expanded"))
    return path


def system_name(value: object) -> str:
    """The name of a user or a group of the system."""
    name = text(value)
    if not _SYSTEM_NAME.fullmatch(name):
        raise Refused(("is no name of a group", "write the name as `getent group` shows it"))
    return name


def access_rule(value: object) -> str:
    """One rule of `allow`: user:NAME, uid:N, group:NAME, gid:N or unit:NAME.service."""
    rule = text(value)
    kind, _, who = rule.partition(":")
    match kind:
        case "user" | "group":
            good = bool(_SYSTEM_NAME.fullmatch(who))
        case "uid" | "gid":
            good = bool(_ID_NUMBER.fullmatch(who)) and int(who) <= _LARGEST_ID
        case "unit":
            good = bool(_UNIT.fullmatch(who))
        case _:
            good = False
    if not good:
        raise Refused(("is no access rule", "write user:NAME, uid:N, group:NAME, gid:N or unit:NAME.service"))
    return rule


def uuid(value: object) -> str:
    """A UUID in its canonical form (RFC 9562 section 4), and not the example's."""
    written = text(value)
    if not _UUID.fullmatch(written):
        raise Refused(("is no UUID", "copy the id as the developer portal shows it: 8-4-4-4-12 hex digits"))
    if written == EXAMPLE_ID:
        raise Refused(("is still the example's", "put in your own id"))
    return written


def client_id(value: object) -> str:
    """The id of an application: a UUID at ELIOT, any word elsewhere (RFC 6749 appendix A.1)."""
    written = text(value)
    if written == EXAMPLE_ID or "…" in written or "<" in written:
        raise Refused(("is still the example's", "put in your application's own id"))
    if not written.isascii() or " " in written:
        raise Refused(("is no client id", "copy it as the developer portal shows it"))
    return written


def scope(value: object) -> str:
    """One scope token (RFC 6749 section 3.3)."""
    if not isinstance(value, str) or not _SCOPE.fullmatch(value):
        raise Refused(("is no scope", "write one scope an entry, without blanks or quotes in it"))
    return value


def quota_reset(value: object) -> str:
    """When the quota starts again: "rolling", or "HH:MM Area/City"."""
    written = text(value)
    if written == "rolling":
        return written
    time_of_day, _, zone = written.partition(" ")
    if not _TIME_OF_DAY.fullmatch(time_of_day) or not zone:
        raise Refused(("is no time of the day with a zone", 'write "rolling" or like "00:00 Europe/Rome"'))
    try:
        ZoneInfo(zone)
    except (ValueError, KeyError, OSError):  # what zoneinfo raises for an unknown, absurd or unreadable key
        raise Refused(("has a time zone this system does not know", 'write it like "00:00 Europe/Rome"')) from None
    return written


def publish_format(value: object) -> str:
    """The text of a published file: {ticket} once, anything else as it stands."""
    if not isinstance(value, str) or value.count("{ticket}") != 1:
        raise Refused(("does not contain {ticket} exactly once", 'write it like "{ticket}" or "TICKET={ticket}\\n"'))
    return value
