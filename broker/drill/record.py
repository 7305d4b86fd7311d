"""What is written down in one drill: the log of decisions, the broken promises, and what excuses the broker.

Knows the clock, no service and no promise. The one invariant: the same drill writes the same lines, so its digest is
the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.drill.world_clock import WorldClock

SECOND = 1.0
DRIFT = 3e-4  # how wrong a good clock may run


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, at a second of the drill."""

    at_seconds: float
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Miss:
    """A caller who got nothing."""

    at_seconds: float
    door: str
    code: str


@dataclass(frozen=True, slots=True)
class Loss:
    """A login that was given up at `at_seconds`; `ended_seconds` is when it could be refreshed no longer."""

    at_seconds: float
    reason: str
    warned_seconds: float | None  # how long before it was given up the first warning came
    ended_seconds: float


@dataclass(slots=True)
class Excuses:
    """What nobody could have known or kept. Times in seconds since the beginning."""

    disk: bool = False  # writes fail, or failed since the process began: what it knows may be lost
    clock: bool = False  # since the boot nobody could know the time
    ledger_until: float = 0.0  # so long calls may be missing from the ledger
    up_since: float = 0.0  # the process began, or the machine woke


class Record:
    """The log of one drill."""

    def __init__(self, clock: WorldClock) -> None:
        self.clock = clock
        self.violations: list[Violation] = []
        self.most_violations = 200
        self.enough: Callable[[], None] = lambda: None  # called once there are so many: the drill may end
        self.digest = hashlib.sha256()
        self.decisions: list[str] | None = None
        self.excuses = Excuses()

    def note(self, text: str) -> None:
        """A line of the log of decisions."""
        line = f"{self.clock.elapsed:14.2f} {text}"
        self.digest.update(line.encode())
        if self.decisions is not None:
            self.decisions.append(line)

    def violate(self, rule: str, detail: str) -> None:
        """A promise was not kept."""
        self.note(f"VIOLATION {rule}: {detail}")
        self.violations.append(Violation(self.clock.elapsed, rule, detail))
        if len(self.violations) >= self.most_violations:
            self.enough()
