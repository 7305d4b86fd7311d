"""The API's description of itself, held against a running daemon by schemathesis: what it says is what is answered.

Right requests and wrong ones of its making, always the same, to every operation that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from broker.sandbox import CloudThread, Options
from tests.e2e.bridge import Bridge
from tests.e2e.daemon import Daemon, account, ticket

pytestmark = pytest.mark.slow

# 502 and 503 are how a problem of the cloud or of the operator is told; a 500 is never right
CONFIG = """
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503]
[[operations]]
include-path-regex = "^/v1/tickets/"
parameters = { name = "front-door" }
[[operations]]
include-path-regex = "^/v1/accounts/"
parameters = { name = "home" }
[[operations]]
include-operation-id = "completeLogin"
parameters = { name = "home" }
checks.positive_data_acceptance.enabled = false  # no redirect of its making answers the pending login
"""
COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"


def hold(directory: Path, port: int, *more: str) -> subprocess.CompletedProcess[str]:
    """Let schemathesis loose on a daemon; no watch, which does not end."""
    config = directory / "schemathesis.toml"
    config.write_text(CONFIG)
    return subprocess.run(
        [
            *(sys.executable, "-c", COMMAND, "--config-file", config, "run"),
            *(f"http://127.0.0.1:{port}/openapi.json", "--header", "Host: localhost", "--no-color"),
            *("--generation-deterministic", "--max-examples", "15", "--phases", "coverage,fuzzing"),
            *("--request-timeout", "30", "--exclude-operation-id", "watchTicket", *more),
        ],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_operation_answers_as_it_is_described_logged_in_and_logged_out() -> None:
    with CloudThread(Options()) as cloud, tempfile.TemporaryDirectory(prefix="described-") as name:
        directory = Path(name)
        with Daemon(directory, account(cloud, directory) + ticket()) as daemon, Bridge(daemon.socket_path) as bridge:
            daemon.login(cloud)
            daemon.client.ticket("front-door", wait=30)
            told = hold(directory, bridge.port, "--exclude-operation-id", "logout")
            assert told.returncode == 0, told.stdout + told.stderr
            assert "16 selected / 18 total" in told.stdout
            assert daemon.client.ticket("front-door", wait=30).name == "front-door"
            told = hold(directory, bridge.port)
            assert told.returncode == 0, told.stdout + told.stderr
            assert "17 selected / 18 total" in told.stdout
            assert daemon.problem().code == "login_required"
        assert '"defect.found"' not in daemon.log()
