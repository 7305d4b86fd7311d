"""64 clients take single-use tickets from a real daemon that is killed again and again: is one handed out twice?

`.venv/bin/python -m tests.resilience_tickets.single_use [SECONDS]` prints the figures; the tests run a short form.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from broker.client import Client, ClientError
from broker.sandbox import CloudThread, Options
from tests.e2e.daemon import Daemon, account, ticket

CLIENTS = 64
POOL = 8
SHORTEST_SECONDS, LONGEST_SECONDS = 0.05, 1.2  # between the socket's answer and the next SIGKILL


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen; `twice` are tickets that two clients got."""

    kills: int
    handed: int
    twice: int
    issued: int

    def __str__(self) -> str:
        return (
            f"{CLIENTS} clients, {self.kills} kills: {self.handed} tickets handed out in {self.issued} calls, "
            f"{self.twice} of them twice"
        )


class Taker(threading.Thread):
    """One client that takes tickets as fast as it can."""

    def __init__(self, socket_path: Path, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.taken: list[str] = []
        self._client = Client(socket_path, timeout_seconds=5)
        self._over = over

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self.taken.append(self._client.ticket("front-door", wait=2).value)
            except ClientError:
                self._over.wait(0.02)  # it is being killed, or has none


def run(seconds: float, directory: Path, *, seed: int = 1) -> Figures:
    """Take and kill for so long."""
    dice, over = random.Random(seed), threading.Event()
    kills = 0
    with CloudThread(Options(daily_quota=0)) as cloud:
        text = account(cloud, directory, api="daily_quota = 0") + ticket(more=f"single_use = true\npool = {POOL}")
        with Daemon(directory, text, log_level="warning") as daemon:
            daemon.login(cloud)
            takers = [Taker(daemon.socket_path, over) for _ in range(CLIENTS)]
            for taker in takers:
                taker.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(dice.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))  # noqa: TID251 - a kill comes unforeseen
                _kill(daemon)
                kills += 1
                daemon.start().wait_up()
            time.sleep(1.0)  # noqa: TID251 - the last life ends in peace
            over.set()
            for taker in takers:
                taker.join(10)
        handed = Counter(value for taker in takers for value in taker.taken)
        return Figures(
            kills, sum(handed.values()), sum(1 for count in handed.values() if count > 1), cloud.calls.count("call_in")
        )


def _kill(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.kill()
    daemon.process.wait(10)


def main() -> None:
    """Print the figures."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    with tempfile.TemporaryDirectory(prefix="single-use-") as name:
        print(run(seconds, Path(name)))


if __name__ == "__main__":
    main()
