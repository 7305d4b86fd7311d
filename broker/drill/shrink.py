"""Shrinking: the fewest happenings with which a drill still fails in the same way.

Knows a test of scripts, not how they are played. The one invariant: what it returns fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.drill.script import Script


def shrink(script: Script, fails: Callable[[Script], bool], *, most_plays: int = 200) -> Script:
    """Drop halves, then quarters, down to single happenings, as long as `fails` holds (delta debugging)."""
    size, plays = max(1, len(script.happenings) // 2), 0
    while script.happenings and plays < most_plays:
        at, dropped = 0, False
        while at < len(script.happenings) and plays < most_plays:
            smaller = script.without(range(at, at + size))
            plays += 1
            if fails(smaller):
                script, dropped = smaller, True
            else:
                at += size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return script
