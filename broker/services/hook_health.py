"""Whether the operator's command does what it is there for: since when it fails, how often, and how it last did.

Knows no process and no event queue. The one invariant: one run that works ends the trouble.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.trouble import Trouble
from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

SUBJECT = "hook"
HINT = (
    "see that it is there and executable, and what it says when the broker's user runs it by hand: "
    "BROKER_EVENT=test BROKER_TEXT=test {command}; then: eliot-broker reload"
)


class HookHealth:
    """Hears how each run of the command ended; `wall_seconds` tells Unix time."""

    def __init__(self, wall_seconds: Callable[[], float]) -> None:
        self._wall_seconds = wall_seconds
        self.trouble: Trouble | None = None

    def failed(self, command: str, event: str, detail: str) -> None:
        """A run for this event failed, or there was none."""
        before = self.trouble
        self.trouble = Trouble(
            SUBJECT,
            ConfigError(f"the hook does not work: {detail}; not told: {event}", hint=HINT.format(command=command)),
            since_seconds=int(self._wall_seconds()) if before is None else before.since_seconds,
            count=1 if before is None or before.count is None else before.count + 1,
        )

    def worked(self) -> None:
        """A run ended well, or there is no such command any more."""
        self.trouble = None
