"""The example SDK process: has a ticket at once, follows a renewal, and outlives a restart of the broker."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
EXAMPLE = ROOT / "config" / "examples" / "sdk_process.py"


def test_it_follows_every_ticket_and_outlives_a_restart(tmp_path: Path) -> None:
    told = tmp_path / "told"

    def count() -> int:
        return told.read_text().count("ticket generation")

    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon, told.open("w") as out:
        daemon.login(cloud)
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ELIOT_BROKER_SOCKET": str(daemon.socket_path)}
        with subprocess.Popen([sys.executable, str(EXAMPLE), "front-door"], env=environ, stdout=out, stderr=out) as sdk:
            try:
                until(lambda: count() == 1, seconds=60, what=told.read_text)
                held = daemon.client.ticket("front-door")
                daemon.client.refuse("front-door", held.generation)
                until(lambda: count() == 2, seconds=60, what=told.read_text)
                daemon.stop()
                until(lambda: "no ticket: " in told.read_text(), seconds=60, what=told.read_text)
                daemon.start().wait_up()
                until(lambda: count() == 3, seconds=60, what=told.read_text)
            finally:
                sdk.terminate()
    assert "eyJ" not in told.read_text()


def test_it_ends_where_no_waiting_helps(tmp_path: Path) -> None:
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ELIOT_BROKER_SOCKET": str(daemon.socket_path)}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), "nowhere"],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 2
    assert "remedy: fix" in done.stderr
