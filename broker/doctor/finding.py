"""One thing that was looked at: where, how it is, and what to do about it.

Pure. The one invariant: what is wrong or doubtful has a remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.errors import BrokerError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is the broker's word for a problem (the command's exit code follows from it)."""

    area: str
    level: Level
    text: str
    remedy: str | None = None
    code: str | None = None


def fine(area: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(area, Level.OK, text)


def doubtful(area: str, text: str, remedy: str) -> Finding:
    """It works, or may work, and yet."""
    return Finding(area, Level.WARNING, text, remedy)


def wrong(area: str, text: str, remedy: str, code: str = "config_error") -> Finding:
    """It does not work."""
    return Finding(area, Level.PROBLEM, text, remedy, code)


def failed(area: str, error: BrokerError, remedy: str) -> Finding:
    """A failure in the broker's own words; its own hint goes before `remedy`."""
    return Finding(area, Level.PROBLEM, error.message, error.hint or remedy, str(error.code))
