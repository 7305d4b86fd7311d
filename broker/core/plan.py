"""How the day's calls are divided among the tickets that are kept warm.

Pure. A third of a life is the margin where the quota allows it; else the margins shrink together, down to the least
validity in force; else renewals are spaced so that the day's calls suffice. The one invariant: the plan never asks
for more prefetches a day than the quota less its reserve.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.core.freshness import DAY_SECONDS, TICKET_MARGIN, validity_in_force

BISECTIONS = 30


@dataclass(frozen=True, slots=True)
class Need:
    """One ticket kept warm: its observed life and its least validity, in seconds."""

    life_seconds: float
    min_validity_seconds: float

    def margin(self, share: float) -> float:
        """The margin when every margin is `share` (0 to 1) of a third of the life, no less than the validity."""
        return max(share * self.life_seconds * TICKET_MARGIN, self.floor)

    @property
    def floor(self) -> float:
        """The least margin."""
        return validity_in_force(self.life_seconds, self.min_validity_seconds)


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
    def words(self) -> str:
        """The plan for people."""
        needs = f"{self.needed:.0f} calls a day needed"
        if self.allowed is None:
            return f"{needs}, no limit"
        told = f"{needs}, {self.allowed:.0f} allowed"
        if self.share >= 1 and self.stretch <= 1:
            return f"{told}: renewed with a third of the life left"
        if self.stretch <= 1:
            return f"{told}: renewed later, {self.planned:.0f} calls a day"
        covered = 100 / self.stretch
        return (
            f"{told}: the quota keeps tickets warm for {covered:.0f} % of the day; the rest is fetched when asked for"
        )


def calls_a_day(needs: list[Need], share: float) -> float:
    """The calls a day that keep all tickets warm with this share of the margin."""
    return sum(DAY_SECONDS / max(need.life_seconds - need.margin(share), 1.0) for need in needs)


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
