"""Trouble that is nobody's login and nobody's ticket: the hook, a published file, a refused reload.

Pure. The one invariant: it is told for as long as it lasts, and its words hold no secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.core.words import counted
from broker.errors import ConfigError

if TYPE_CHECKING:
    from broker.errors import BrokerError


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a person must mend; `since_seconds` is Unix time, `count` how often it was met."""

    subject: str
    error: BrokerError
    since_seconds: int | None = None
    count: int | None = None


def refused_reload(error: BrokerError) -> Trouble:
    """Why a reload changed nothing, in one line; the rest is told by `config check`."""
    told = error.problems if isinstance(error, ConfigError) and error.problems else (error.message,)
    more = "" if len(told) == 1 else f" (and {counted(len(told) - 1, 'problem')} more)"
    said = f"the changed configuration was refused, the old one stays in force: {told[0]}{more}"
    return Trouble("configuration", ConfigError(said, hint="eliot-broker config check, then eliot-broker reload"))
