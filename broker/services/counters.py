"""What happened how often since the start: the numbers behind the counters of /metrics.

Knows events by name, no service. Fed from the loop and from worker threads. The one invariant: labels are names of the
configuration and words of closed lists, so that their number is bounded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Labels = tuple[tuple[str, str], ...]

COUNTERS: dict[str, str] = {
    "eliot_broker_vends": "Tickets asked for, by result: ok, or the code of the problem.",
    "eliot_broker_calls": "Calls to the call-in operation, by HTTP status (none: no answer).",
    "eliot_broker_refreshes": "Requests to the token endpoint, by result: ok, or the code of the failure.",
    "eliot_broker_failures": "Failures of the cloud, by service and code.",
    "eliot_broker_refused_requests": "Requests on the socket that were refused, by code.",
    "eliot_broker_hook_failures": "Runs of the hook that failed.",
    "eliot_broker_defects": "Errors of the broker's own that nobody expected.",
    "eliot_broker_sweeps": "Sweeps: looks at what is due.",
}


class Counters:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Labels, int]] = {name: {} for name in COUNTERS}
        self.sweep_lag_seconds = 0.0
        self._sweep_due: float | None = None

    def add(self, name: str, number: int = 1, **labels: str) -> None:
        """Count `number` more."""
        key = tuple(labels.items())
        with self._lock:
            counts = self._counts[name]
            counts[key] = counts.get(key, 0) + number

    def of(self, name: str) -> list[tuple[dict[str, str], int]]:
        """The counts of one counter with their labels."""
        with self._lock:
            return [(dict(labels), count) for labels, count in self._counts[name].items()]

    def swept(self, now_seconds: float) -> None:
        """A sweep begins, on the monotonic clock: how late it is; one that was woken is not late."""
        self.sweep_lag_seconds = 0.0 if self._sweep_due is None else max(0.0, now_seconds - self._sweep_due)
        self.add("eliot_broker_sweeps")

    def next_sweep_at(self, due_seconds: float) -> None:
        """When the next one is due."""
        self._sweep_due = due_seconds

    def hear(self, event: str, facts: Mapping[str, object]) -> None:
        """Count what the log is told; the audit's counts add up to what happened, however fast it came."""
        count = facts.get("count")
        number = count if isinstance(count, int) else 1
        match event:
            case "ticket.served":
                self.add("eliot_broker_vends", number, ticket=str(facts.get("ticket")), result="ok")
            case "request.refused" | "request.limited":
                self.add("eliot_broker_refused_requests", number, code=str(facts.get("code")))
            case "hook.failed":
                self.add("eliot_broker_hook_failures")
            case "defect.found" | "request.failed":
                self.add("eliot_broker_defects")
