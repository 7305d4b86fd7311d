"""How the day's calls are divided among the tickets that are kept warm.

Pure. A third of a life is the margin where the quota allows it; else the margins shrink together, down to the least
validity in force and the time a call takes; else there are gaps: renewals are spaced so that the day's calls suffice.
The one invariant: the plan never asks for more prefetches a day than the quota less its reserve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.core.freshness import DAY_SECONDS, TICKET_MARGIN, validity_in_force

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.core.instant import Lifetime

BISECTIONS = 30
CALL_SECONDS = 5.0  # how long a renewal may take before the ticket it replaces is withheld …
LIFE_TOLERANCE = 0.02  # a life that differs by less from the one observed before is the same
CALL_SHARE = 0.05  # … but no more than this part of a life


@dataclass(frozen=True, slots=True)
class Need:
    """One ticket kept warm: its observed life and its least validity, in seconds; `count` of them (a pool)."""

    life_seconds: float
    min_validity_seconds: float
    count: int = 1

    def margin(self, share: float) -> float:
        """The margin when every margin is `share` (0 to 1) of a third of the life, no less than the floor."""
        return max(share * self.life_seconds * TICKET_MARGIN, self.floor)

    @property
    def floor(self) -> float:
        """The least margin: the least validity in force, and the time that a call takes."""
        in_force = validity_in_force(self.life_seconds, self.min_validity_seconds)
        return in_force + min(CALL_SECONDS, self.life_seconds * CALL_SHARE)


@dataclass(frozen=True, slots=True)
class Plan:
    """`share` of the wished margin that is kept; `stretch` >= 1: by how much intervals are longer than a life allows.

    `needed` are the calls a day wished for, `planned` this plan's, `allowed` the prefetches a day (None: no limit).
    """

    share: float
    stretch: float
    needed: float
    planned: float
    allowed: float | None

    def margin_seconds(self, need: Need) -> float:
        """How much of its life a ticket has left when it is renewed."""
        return need.margin(self.share)

    def interval_seconds(self, need: Need) -> float:
        """The planned time between two renewals of a ticket."""
        return (need.life_seconds - need.margin(self.share)) * self.stretch

    @property
    def covered(self) -> float:
        """The part of the day (0 to 1) for which the quota keeps tickets warm."""
        return 1 / self.stretch


NOTHING = Plan(1.0, 1.0, 0.0, 0.0, None)


def observed_seconds(life: Lifetime, before: float | None) -> float:
    """The life that the plan counts on: what the ticket claims, unless it comes with less; `before` if it is alike."""
    seconds = min(life.seconds, life.span.seconds)
    if life.seconds > 0 and seconds >= life.seconds * (1 - LIFE_TOLERANCE):
        seconds = life.seconds
    if before is not None and abs(seconds - before) <= before * LIFE_TOLERANCE:
        return before
    return seconds


def calls_a_day(needs: Iterable[Need], share: float) -> float:
    """The calls a day that keep all tickets warm with this share of the margin."""
    return sum(need.count * DAY_SECONDS / max(need.life_seconds - need.margin(share), 1.0) for need in needs)


def make_plan(needs: list[Need], allowed: float | None) -> Plan:
    """Divide `allowed` prefetches a day (None: no limit) among tickets."""
    needed = calls_a_day(needs, 1.0)
    if allowed is None or needed <= allowed:
        return Plan(1.0, 1.0, needed, needed, allowed)
    least = calls_a_day(needs, 0.0)
    if least > allowed:
        stretch = least / max(allowed, 1.0)
        return Plan(0.0, stretch, needed, least / stretch, allowed)
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if calls_a_day(needs, middle) <= allowed else (low, middle)
    return Plan(low, 1.0, needed, calls_a_day(needs, low), allowed)
