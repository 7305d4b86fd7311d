"""What a start waits for, and what comes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.ports import free_port
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

HEAVY = ("aiohttp", "joserfc", "authlib", "msal", "apscheduler", "yarl")


@pytest.mark.parametrize("listen", ["", "a port"])
def test_until_ready_no_library_is_loaded_that_can_wait(tmp_path: Path, listen: str) -> None:
    """What is imported is told by Python itself, among the lines of the log."""
    with CloudThread() as cloud:
        daemon = Daemon(tmp_path, account(cloud, tmp_path) + ticket(), environ={"PYTHONPROFILEIMPORTTIME": "1"})
        if listen:
            listening = f'listen = "127.0.0.1:{free_port()}"'
            daemon.config.write_text(daemon.config.read_text().replace('listen = ""', listening))
        with daemon:
            daemon.login(cloud)
    before, _, after = daemon.log().partition("service.started")
    assert loaded(before) == set()
    assert loaded(after) == {"aiohttp", "joserfc", "authlib", "apscheduler", "yarl"}


def loaded(text: str) -> set[str]:
    """Which of the heavy libraries' modules were imported."""
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in text.splitlines() if "import time:" in line}
    return names & {*HEAVY}


def test_a_stop_that_comes_as_soon_as_it_is_ready_is_a_clean_one(tmp_path: Path) -> None:
    with CloudThread() as cloud:
        daemon = Daemon(tmp_path, account(cloud, tmp_path) + ticket()).start()
        until(lambda: "service.started" in daemon.log(), seconds=60.0, what=daemon.log, every_seconds=0.002)
        assert daemon.stop() == 0
    assert "service.stopped" in daemon.log()
    assert "defect" not in daemon.log()
