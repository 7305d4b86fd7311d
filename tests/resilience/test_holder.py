"""One state directory, one broker: the second refuses, and says which process holds it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.resilience.home import ROOT

if TYPE_CHECKING:
    from tests.resilience.home import Home


def serve_again(home: Home) -> subprocess.CompletedProcess[str]:
    config = home.configure().read_text().replace("broker.sock", "second.sock")
    path = home.directory / "second.toml"
    path.write_text(config)
    command = [sys.executable, "-m", "broker", "serve", "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT, env={})


@pytest.mark.slow
def test_a_second_broker_is_started_on_the_same_state(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        second = serve_again(home)
        assert second.returncode == 1
        assert f"in use by process {broker.pid}" in second.stderr
        assert "hint: stop that one first" in second.stderr
        broker.refresh()


@pytest.mark.slow
def test_a_killed_broker_holds_nothing(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        broker.kill()
    with home.broker() as broker:
        broker.refresh()
