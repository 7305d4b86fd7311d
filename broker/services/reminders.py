"""Reminders of what a person must do, until it is done: after 15 minutes, then ever more seldom, at last once a day.

Most of what is wrong is told by whoever finds it, and this tells it again; what only the operator can mend is found
here. Level-triggered: it is shown all problems at every look and keeps only since when each is there. The one
invariant: a problem that is gone is not reminded of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker.core.instant import Instant
    from broker.ports import Events

FIRST_SECONDS = 15 * 60.0
GROWTH = 2.0
LONGEST_SECONDS = 86_400.0
FACTS = ("subject", "code", "remedy", "detail", "hint")
FOR_PEOPLE = frozenset({"login", "fix"})
FOUND_HERE = frozenset({"config_error", "user_action_required"})
TOLD_ELSEWHERE = "configuration"
LOOK_SECONDS = 5.0  # a look goes over all tickets


@dataclass(frozen=True, slots=True)
class Standing:
    """A problem that was there at the last look; `told` is when it was last told, `count` how many reminders."""

    since: Instant
    told: Instant
    count: int = 0

    @property
    def pause_seconds(self) -> float:
        """How long until it is told again."""
        return min(LONGEST_SECONDS, FIRST_SECONDS * GROWTH**self.count)


class Reminders:
    """Looks at problems as the status tells them: `subject`, `code`, `remedy`, `detail`, `hint`."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._standing: dict[tuple[str, str], Standing] = {}
        self._looked: Instant | None = None

    def look(self, problems: Callable[[], Iterable[Mapping[str, str | None]]], now: Instant) -> float:
        """Remind of what has stood for long enough, forget what is gone; seconds until the look that was put off."""
        since = None if self._looked is None else now.since(self._looked)
        if since is not None and since < LOOK_SECONDS:
            return LOOK_SECONDS - since
        self._looked = now
        before, self._standing = self._standing, {}
        for problem in problems():
            if problem["remedy"] in FOR_PEOPLE:
                key = str(problem["subject"]), str(problem["code"])
                known = before.get(key)
                self._standing[key] = (
                    self._found(problem, now) if known is None else self._looked_at(known, problem, now)
                )
        return math.inf

    def _found(self, problem: Mapping[str, str | None], now: Instant) -> Standing:
        if problem["code"] in FOUND_HERE and problem["subject"] != TOLD_ELSEWHERE:
            self._events.emit("problem.found", **{name: problem[name] for name in FACTS})
        return Standing(now, now)

    def _looked_at(self, standing: Standing, problem: Mapping[str, str | None], now: Instant) -> Standing:
        if (now.since(standing.told) or 0.0) < standing.pause_seconds:
            return standing
        facts = {name: problem[name] for name in FACTS}
        seconds = round(now.since(standing.since) or 0.0)
        self._events.emit("problem.standing", elapsed_seconds=seconds, count=standing.count + 1, **facts)
        return replace(standing, told=now, count=standing.count + 1)
