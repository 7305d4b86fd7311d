"""Ten times a second for ten minutes, on id tokens of 60 s and tickets of 20 s: no miss, and no call too many.

`.venv/bin/python -m tests.resilience_tickets.ten_minutes [SECONDS]` prints the figures; the tests run a short form.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from broker.client import Problem
from broker.sandbox import CloudThread, Options
from tests.e2e.daemon import Daemon, account, ticket

ID_TOKEN_SECONDS = 60
TICKET_SECONDS = 20
REQUESTS_A_SECOND = 10
SLOW_SECONDS = 0.25  # a request that took longer has waited for the cloud


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted; `bound` is 1.1 x seconds / (life - planned margin)."""

    seconds: float
    requests: int
    misses: int
    slow: int
    calls: int
    margin_seconds: float
    refreshes: int
    generations: int
    slowest_ms: float
    failures: tuple[str, ...] = ()

    @property
    def bound(self) -> float:
        """The most calls that may be made."""
        return 1.1 * self.seconds / (TICKET_SECONDS - self.margin_seconds)

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s, {self.requests} requests: {self.misses} misses, {self.slow} slow "
            f"(slowest {self.slowest_ms:.1f} ms); {self.calls} calls, at most {self.bound:.1f} "
            f"(margin {self.margin_seconds:.2f} s), {self.generations} tickets, {self.refreshes} token requests"
        )


def run(seconds: float, directory: Path) -> Figures:
    """Count for so long."""
    options = Options(id_token_seconds=ID_TOKEN_SECONDS, ticket_seconds=TICKET_SECONDS, daily_quota=0)
    with CloudThread(options) as cloud:
        text = account(cloud, directory, api="daily_quota = 0") + ticket()
        with Daemon(directory, text, log_level="info") as daemon:
            daemon.login(cloud)
            daemon.client.ticket("front-door", wait=10)
            calls, refreshes = cloud.calls.count("call_in"), cloud.calls.count("token")
            figures = _ask(daemon, seconds)
            margin = daemon.client.status()["tickets"][0]["plan"]["margin_seconds"]
            made = cloud.calls.count("call_in") - calls
            refreshed = cloud.calls.count("token") - refreshes
    requests, misses, slow, generations, slowest, failures = figures
    return Figures(
        seconds, requests, misses, slow, made, margin, refreshed, generations, slowest * 1000, tuple(failures)
    )


def _ask(daemon: Daemon, seconds: float) -> tuple[int, int, int, int, float, list[str]]:
    begun = time.monotonic()
    requests = misses = slow = 0
    slowest, seen, failures = 0.0, set(), []
    while (at := begun + requests / REQUESTS_A_SECOND) < begun + seconds:
        time.sleep(max(0.0, at - time.monotonic()))  # noqa: TID251 - the pace of a real client
        asked = time.monotonic()
        requests += 1
        try:
            found = daemon.client.ticket("front-door", wait=0)
        except Problem as problem:
            misses += 1
            failures.append(f"{at - begun:.1f} s: {problem}")
            continue
        took = time.monotonic() - asked
        slow, slowest = slow + (took > SLOW_SECONDS), max(slowest, took)
        seen.add(found.generation)
        if _expires_at(found.value) <= time.time():  # noqa: TID251 - what the door would look at
            misses += 1
            failures.append(f"{at - begun:.1f} s: it had expired")
    return requests, misses, slow, len(seen), slowest, failures


def _expires_at(jwt: str) -> int:
    claims = jwt.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])


def main() -> None:
    """Print the figures."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with tempfile.TemporaryDirectory(prefix="ten-minutes-") as name:
        figures = run(seconds, Path(name))
    print(figures)
    for failure in figures.failures:
        print(failure)


if __name__ == "__main__":
    main()
