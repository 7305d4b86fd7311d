"""Holds a process to what it tells by itself: what becomes so is told once, whatever restarts, until it has ended.

Judges by the events alone. The one invariant: what was told in an earlier process has been told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.drill.script import DAY

if TYPE_CHECKING:
    from broker.drill.record import Record

UNAVAILABLE, ENDING = "ticket.unavailable", "login.ending"
ENDS = {"7d": 7 * DAY, "48h": 2 * DAY, "12h": DAY / 2}


class News:
    """What was told and has not ended since."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._told: set[tuple[str, str]] = set()

    def tell(self, event: str, subject: str) -> None:
        """Something became so."""
        if (event, subject) in self._told and not self._record.excuses.disk:
            self._record.violate("news is told once", f"{event} of {subject}")
        self._told.add((event, subject))

    def recovered(self, ticket: str) -> None:
        """There is a ticket again."""
        self._told.discard((UNAVAILABLE, ticket))

    def login_lives(self, login_left: float | None) -> None:
        """So much is left of the login (None: nobody knows, or it is new): ends that are farther away are averted."""
        for name, seconds in ENDS.items():
            if login_left is None or login_left > seconds:
                self._told.discard((ENDING, name))

    def forgive(self) -> None:
        """That it was told may be lost."""
        self._told.clear()
