"""Numbers in sentences for people: `1 ticket`, `2 tickets`, `45 s`, `5 h`.

Pure. The one invariant: a count and its noun agree, and what is not known reads as "unknown", never as zero.
"""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def counted(number: int, noun: str) -> str:
    """A count with its noun, which takes an s for every number but 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: object) -> str:
    """Like `45 s`, `12 min`, `5 h`, `11 d`: one unit, rounded down, changing where two of the larger one are full."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return "unknown"
    whole = max(0, int(seconds))
    for size, unit in _UNITS:
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
