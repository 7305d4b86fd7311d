"""A thousand hostile connections: the others are served all the while, and nothing of it stays.

How fast they are served is a benchmark's business (tests/benchmarks/hostile.py); here it must hold at all.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from broker.sandbox import CloudThread, Options
from tests.e2e.daemon import Daemon, account, ticket
from tests.security.siege import besiege

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="cannot run here: hostile processes of other users need root"),
]
MOST_BYTES = 16 * 2**20
LEFT_BYTES = 4 * 2**20  # 1 to 2 MB: code that ran for the first time, and arenas that something else lives in, too
LEFT_AGAIN_BYTES = 2**20  # so that a second siege leaves nothing


def test_a_thousand_hostile_connections_cost_the_others_no_ticket_and_the_broker_little() -> None:
    with CloudThread(Options()) as cloud, tempfile.TemporaryDirectory(prefix="siege-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with Daemon(directory, account(cloud, directory) + ticket(), log_level="info") as daemon:
            daemon.socket_path.chmod(0o666)
            daemon.login(cloud)
            daemon.client.ticket("front-door", wait=30)
            assert daemon.process is not None
            report = besiege(daemon.socket_path, daemon.process.pid, seconds=2)
            again = besiege(daemon.socket_path, daemon.process.pid, seconds=2)
            told = [json.loads(line) for line in daemon.log().rpartition("\n")[0].splitlines()]
        assert min(len(taken) for taken in report.besieged.values()) > 10, list(report.lines())
        assert report.during.rss - report.before.rss < MOST_BYTES, list(report.lines())
        assert report.after.own - report.before.own < LEFT_BYTES, list(report.lines())
        assert again.after.own - report.after.own < LEFT_AGAIN_BYTES, list(again.lines())
        assert report.after.descriptors <= report.before.descriptors
        assert report.crowd["thrown out"] > 100
        assert not [fact for fact in told if fact["level"] == "error" and fact["event"] != "ticket.unavailable"]
        limited = [fact for fact in told if fact["event"] == "request.limited"]
        assert 0 < len(limited) < 100, "told once per state, not once per connection"
