"""A client among 1,000 hostile connections: `python -m tests.benchmarks.hostile [SECONDS PART …]`.

The figures are ratios within one run; those of the floor, a C server beside the broker that nobody besieges, are what
the measuring itself adds. PART: what all of the crowd do (`reset`, `flood`, … of tests/security/crowd.py). It starts a
daemon of its own on the stand-in cloud; as root the crowd comes as five other users, else as our own (then most of it
is turned away at 256 connections).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from broker.sandbox import CloudThread, Options
from tests.benchmarks.servers import HERE, await_socket, build, process
from tests.e2e.daemon import Daemon, account, ticket
from tests.security.siege import besiege


def main(seconds: float = 20.0, *parts: str) -> int:
    """Print the figures; 1 where the client waits more than three times as long."""
    with CloudThread(Options()) as cloud, tempfile.TemporaryDirectory(prefix="siege-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with Daemon(directory, account(cloud, directory) + ticket(), log_level="info") as daemon:
            daemon.socket_path.chmod(0o666)
            daemon.login(cloud)
            daemon.client.ticket("front-door", wait=5)
            assert daemon.process is not None
            build(HERE / "floor.c", directory / "floor")
            with process([directory / "floor", directory / "floor.sock"]) as floor:
                await_socket(directory / "floor.sock")
                report = besiege(
                    daemon.socket_path,
                    daemon.process.pid,
                    seconds=seconds,
                    parts=parts,
                    floor=(directory / "floor.sock", floor.pid),
                )
            for line in report.lines():
                print(line)
            print(f"log: {len(daemon.log().splitlines())} lines")
    return int(max(report.ratio(kind) for kind in ("kept connection", "new connection")) > 3)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 20.0, *sys.argv[2:]))
