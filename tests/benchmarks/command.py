"""How long `eliot-broker ticket` takes, whole process, beside an argparse program that does nothing and a `cat`.

Run it on a quiet machine: `.venv/bin/python -m tests.benchmarks.command`. The three take turns, so that what else the
machine does hits all alike; the figures are milliseconds of wall time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from broker.sandbox import CloudThread
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.waiting import until

ROUNDS = 41
EMPTY = "import argparse\nargparse.ArgumentParser().parse_args()\n"


@dataclass(frozen=True)
class Figure:
    """Milliseconds of many runs."""

    name: str
    runs: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.runs)

    def __str__(self) -> str:
        return f"{self.name:28} median {self.median:6.1f} ms   min {min(self.runs):6.1f} ms"


def measure(rounds: int = ROUNDS) -> tuple[Figure, Figure, Figure]:
    """The command, the empty program, and a `cat` of the published file."""
    with tempfile.TemporaryDirectory() as name, CloudThread() as cloud:
        directory = Path(name)
        published = directory / "published" / "front-door.jwt"
        text = account(cloud, directory) + ticket(more=f'publish = {{ path = "{published}" }}')
        with Daemon(directory, text) as daemon:
            daemon.login(cloud)
            until(published.exists, seconds=60, what="no file was published")
            empty = directory / "empty.py"
            empty.write_text(EMPTY)
            program = Path(sys.executable).with_name("eliot-broker")
            commands = {
                "eliot-broker ticket": [str(program), "ticket", "front-door"],
                "empty argparse program": [sys.executable, str(empty)],
                "cat of the published file": ["cat", str(published)],
            }
            environ = {"PATH": os.environ["PATH"], "ELIOT_BROKER_SOCKET": str(daemon.socket_path)}
            runs: dict[str, list[float]] = {key: [] for key in commands}
            for _ in range(rounds + 1):  # the first round warms the caches and is dropped
                for key, command in commands.items():
                    runs[key].append(_timed(command, environ))
    figures = [Figure(key, values[1:]) for key, values in runs.items()]
    return figures[0], figures[1], figures[2]


def _timed(command: list[str], environ: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Print the figures."""
    command, empty, cat = measure()
    print(command, empty, cat, sep="\n")
    print(f"{'ratio to the empty program':28} {command.median / empty.median:.2f}   (bound: 60/46 = 1.30)")


if __name__ == "__main__":
    main()
