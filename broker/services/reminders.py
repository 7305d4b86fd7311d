"""Reminders of what a person must do, until it is done: after 15 minutes, then ever more seldom, at last once a day.

Most of what is wrong is told by whoever finds it, and this tells it again; what only the operator can mend is found
here. Level-triggered: it is shown all problems at every look and keeps, on disk too, since when each is there and how
often it was told: a restart is no news. The one invariant: a problem that is gone is not reminded of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from broker.errors import StoreDamaged, StoreError, StoreUnavailable
from broker.services.documents import dump, instant_of, instant_to, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker.core.instant import Instant
    from broker.ports import Events, Store, Worker

DOCUMENT = "reminders"

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
        self._store: Store | None = None
        self._saved: dict[tuple[str, str], Standing] = {}
        self.trouble: StoreError | None = None

    def open(self, store: Store) -> None:
        """Remember what an earlier process told. Blocking; a document that cannot be used is told, and left out."""
        try:
            self._standing = read(store, DOCUMENT, _decoded) or {}
        except StoreDamaged as error:
            self._events.emit("store.damaged", document=DOCUMENT, detail=error.message)
        except StoreUnavailable as error:
            self._events.emit("store.unavailable", document=DOCUMENT, detail=error.message)
            self.trouble = error
            return  # by a newer broker, or under another key: it is not ours to write over
        self._store, self._saved = store, dict(self._standing)

    async def save(self, worker: Worker) -> None:
        """Write what the last look changed; where the disk refuses, it is tried again the next time."""
        standing, store = self._standing, self._store
        if store is None or standing == self._saved:
            return
        try:
            await worker.run(lambda: store.save(DOCUMENT, _encoded(standing)))
        except StoreError as error:
            if self.trouble is None:
                self._events.emit("store.unavailable", document=DOCUMENT, detail=error.message)
            self.trouble = error
            return
        if self.trouble is not None:
            self._events.emit("store.recovered", document=DOCUMENT)
        self._saved, self.trouble = standing, None

    def since(self, subject: str, code: str, now: Instant) -> float | None:
        """For how many seconds a person's problem has stood; None where it is none, or no clock can tell."""
        known = self._standing.get((subject, code))
        return None if known is None else now.since(known.since)

    def forget(self, subject: str) -> None:
        """Look at this subject's problems as at new ones: somebody has seen to them."""
        self._standing = {key: each for key, each in self._standing.items() if key[0] != subject}

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
        pause = now.since(standing.told)
        if pause is None:  # another boot, and no clock to compare: it begins anew, as seldom as it was
            return replace(standing, told=now)
        if pause < standing.pause_seconds:
            return standing
        facts = {name: problem[name] for name in FACTS}
        seconds = round(now.since(standing.since) or 0.0)
        self._events.emit("problem.standing", elapsed_seconds=seconds, count=standing.count + 1, **facts)
        return replace(standing, told=now, count=standing.count + 1)


def _encoded(standing: Mapping[tuple[str, str], Standing]) -> bytes:
    rows = [[*key, instant_to(each.since), instant_to(each.told), each.count] for key, each in standing.items()]
    return dump({"standing": rows})


def _decoded(data: dict[str, Any]) -> dict[tuple[str, str], Standing]:
    """The reverse of _encoded."""
    return {
        (str(subject), str(code)): Standing(instant_of(since), instant_of(told), int(count))
        for subject, code, since, told, count in data["standing"]
    }
