"""Sets of moments as sorted, disjoint half-open intervals of seconds.

Pure. The one invariant: every function returns sorted and disjoint intervals, none of them empty.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Intervals = list[tuple[float, float]]


def union(parts: Iterable[tuple[float, float]]) -> Intervals:
    """All that is in any of the parts, which may overlap and come in any order."""
    found: Intervals = []
    for start, end in sorted(part for part in parts if part[1] > part[0]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def complement(parts: Iterable[tuple[float, float]], until: float) -> Intervals:
    """What of [0, until) is in none of the parts."""
    found, at = [], 0.0
    for start, end in union(parts):
        if start > at:
            found.append((at, min(start, until)))
        at = max(at, end)
    if at < until:
        found.append((at, until))
    return [part for part in found if part[1] > part[0]]


def intersection(first: Iterable[tuple[float, float]], second: Iterable[tuple[float, float]]) -> Intervals:
    """What is in both (each sorted and disjoint)."""
    one, two, found = list(first), list(second), []
    i = j = 0
    while i < len(one) and j < len(two):
        start, end = max(one[i][0], two[j][0]), min(one[i][1], two[j][1])
        if start < end:
            found.append((start, end))
        if one[i][1] < two[j][1]:
            i += 1
        else:
            j += 1
    return found


def later_start(parts: Iterable[tuple[float, float]], seconds: float) -> Intervals:
    """Each part without its first seconds."""
    return [(start + seconds, end) for start, end in parts if end - start > seconds]


def later_end(parts: Iterable[tuple[float, float]], seconds: float) -> Intervals:
    """Each part with so many seconds more."""
    return union((start, end + seconds) for start, end in parts)


def holds(parts: Sequence[tuple[float, float]], moment: float) -> bool:
    """Whether the moment is in one of the (sorted) parts."""
    place = bisect_right(parts, (moment, float("inf"))) - 1
    return place >= 0 and parts[place][0] <= moment < parts[place][1]


def total(parts: Iterable[tuple[float, float]]) -> float:
    """The seconds in all the parts together."""
    return sum(end - start for start, end in parts)
