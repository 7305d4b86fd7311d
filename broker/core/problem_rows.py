"""Problems as the status tells them, for people: the same trouble of many is one entry.

Pure; tolerant of fields that are missing, because brokers differ in age. The one invariant: every subject is named or
counted.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Row = dict[str, Any]

MOST_NAMED = 8


def gathered(problems: Iterable[Row]) -> list[Row]:
    """One row for each trouble, in order; `concerns` says of whom, where it is not one alone."""
    found: dict[tuple[object, object, object], list[Row]] = {}
    for row in problems:
        found.setdefault((row.get("code"), row.get("detail"), row.get("hint")), []).append(row)
    return [{**rows[0], "concerns": _named([str(row.get("subject")) for row in rows])} for rows in found.values()]


def said(row: Row) -> str:
    """What is wrong, and with whom."""
    subject, detail = row.get("subject"), str(row.get("detail") or row.get("code") or "unknown")
    return detail if not subject or row.get("concerns") or str(subject) in detail else f"{subject}: {detail}"


def _named(subjects: list[str]) -> str | None:
    """Like `account home; tickets front-door, side-door`."""
    if len(subjects) == 1:
        return None
    kinds: dict[str, list[str]] = {}
    for subject in subjects:
        kind, _, name = subject.partition(" ")
        kinds.setdefault(kind, []).append(name)
    return "; ".join(_of_kind(kind, names) for kind, names in kinds.items())


def _of_kind(kind: str, names: list[str]) -> str:
    rest = len(names) - MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"{kind}{'' if len(names) == 1 else 's'} {', '.join(names[:MOST_NAMED])}{more}"
