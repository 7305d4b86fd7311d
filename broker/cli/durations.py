"""Seconds in a person's words.

Pure. The one invariant: what is not known reads as "unknown", never as zero.
"""

from __future__ import annotations

MINUTE = 60
HOUR = 3600
DAY = 86400


def duration(seconds: object) -> str:
    """Like `45 s`, `12 min`, `5 h`, `11 d`: one unit, rounded down, changing where two of the larger one are full."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return "unknown"
    whole = max(0, int(seconds))
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
