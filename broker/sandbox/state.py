"""Everything that the sandbox's cloud remembers, in one place for its endpoints.

Knows no HTTP. The one invariant: the cloud's time is `now()` plus the skew in force, and nothing else reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.sandbox.calls import CallLog
from broker.sandbox.keys import SigningKeys
from broker.sandbox.meter import Meter
from broker.sandbox.weather import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.sandbox.grants import Grants
    from broker.sandbox.options import Options


@dataclass(slots=True)
class CloudState:
    """The cloud's memory; `now` is Unix seconds of the world outside."""

    options: Options
    now: Callable[[], float]
    grants: Grants
    keys: SigningKeys = field(default_factory=SigningKeys)
    meter: Meter = field(default_factory=Meter)
    script: Script = field(default_factory=Script)
    calls: CallLog = field(default_factory=CallLog)
    tickets_issued: int = 0

    @property
    def cloud_seconds(self) -> float:
        """The time that the cloud believes in."""
        return self.now() + self.options.clock_skew_seconds
