"""When which door had a ticket in hand, when it had none, and whether that was promised otherwise, or told.

Looks at the process after each sweep and at each ticket's arrival. The one invariant: a gap lasts from the first
moment without a ticket to the first with one, whoever looked when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.drill.record import DRIFT, SECOND

if TYPE_CHECKING:
    from broker.drill.process import Process
    from broker.drill.record import Record
    from broker.drill.script import Household

TOLD_SECONDS = 120.0  # until then it must have been told that there is no ticket


@dataclass(slots=True)
class Coverage:
    """One door: until when its ticket is good, and the gaps in which there was none."""

    until: float = 0.0
    promised: float = 0.0
    gap_since: float | None = None
    told: bool = False
    gaps: list[tuple[float, float]] = field(default_factory=list)


class Doors:
    """All doors of one drill; only those that are kept warm with tickets for all have gaps."""

    def __init__(self, household: Household, record: Record) -> None:
        self.by_name = {door.name: Coverage() for door in household.doors}
        self.kept_warm = tuple(it.name for it in household.doors if it.warm == "always" and not it.single_use)
        self._household = household
        self._record = record

    def look(self, process: Process) -> None:
        """After a sweep."""
        for name in self.kept_warm:
            self.look_at(process, name)

    def look_at(self, process: Process, name: str) -> None:
        """What this door has in hand now."""
        if name not in self.kept_warm:
            return
        cover, t = self.by_name[name], self._record.clock.elapsed
        left = process.ticket(name).ref.remaining(process.timekeeper.now())
        if cover.gap_since is None and cover.until < t - SECOND:
            self._gap_begins(cover, name, cover.until)
        if left > 0:
            self._covered(cover, t, left)
        elif cover.gap_since is None:
            self._gap_begins(cover, name, t)
        elif t - cover.gap_since > TOLD_SECONDS and not cover.told:
            self._check_told(process, cover, name)

    def _covered(self, cover: Coverage, t: float, left: float) -> None:
        if cover.gap_since is not None:
            cover.gaps.append((cover.gap_since, t))
            cover.gap_since, cover.told = None, False
        cover.until = t + left

    def _gap_begins(self, cover: Coverage, name: str, since: float) -> None:
        cover.gap_since = since
        if since < cover.promised and not self._record.excuses.clock:
            self._record.violate(
                "runway is never promised longer than it held", f"{name}: {cover.promised - since:.0f} s short"
            )

    def _check_told(self, process: Process, cover: Coverage, name: str) -> None:
        cover.told = True
        recent = self._record.excuses.up_since >= self._record.clock.elapsed - TOLD_SECONDS
        if recent or not self._household.plan_fits or self._record.excuses.disk:
            return  # gaps that the quota's plan leaves are told as the plan; a disk may have kept that it was told
        service = process.ticket(name)
        if not service.ref.in_flight and service.code(process.timekeeper.now()) is not None:  # else as planned
            self._record.violate("that there is no ticket is told", name)

    def promise(self, seconds: float | None) -> None:
        """The runway: so long every ticket that is kept warm is promised to be had, whatever the cloud does."""
        if seconds is None or seconds <= 0:
            return
        until = self._record.clock.elapsed + seconds * (1 - DRIFT) - 2 * SECOND
        for name in self.kept_warm:
            cover = self.by_name[name]
            cover.promised = max(cover.promised, until)

    def process_ended(self) -> None:
        """No process: no ticket can be had."""
        t = self._record.clock.elapsed
        for cover in self.by_name.values():
            cover.promised = 0.0
            if cover.gap_since is None:
                cover.gap_since = min(t, cover.until)
            cover.until = min(cover.until, t)

    def finish(self) -> None:
        """The drill is over: open gaps end here."""
        t = self._record.clock.elapsed
        for cover in self.by_name.values():
            if cover.gap_since is None and cover.until < t:
                cover.gap_since = cover.until
            if cover.gap_since is not None:
                cover.gaps.append((cover.gap_since, t))
                cover.gap_since = None
