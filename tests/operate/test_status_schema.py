"""`status --json` is what config/status.schema.json says: before a login, after it, and when things are wrong."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.client import Problem
from broker.sandbox import CloudThread, api_fault
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.operate.command import run
from tests.operate.json_schema import violations

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = json.loads((ROOT / "config" / "status.schema.json").read_text())


def status(daemon: Daemon) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("status", "--json", socket=daemon.socket_path).stdout)
    assert violations(document, SCHEMA) == []
    return document


@pytest.mark.slow
def test_the_status_is_what_the_schema_says_in_every_weather(tmp_path: Path) -> None:
    doors = ticket() + ticket("side-door", more='warm = "on-demand"') + ticket("back-door", more='warm = "adaptive"')
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + doors) as daemon:
        assert status(daemon)["accounts"][0]["state"] == "logged_out"
        daemon.client.login("home")
        assert status(daemon)["accounts"][0]["state"] == "login_pending"
        daemon.login(cloud)
        daemon.client.ticket("front-door", wait=30)
        document = status(daemon)
        assert document["problems"] == []
        cloud.script.add("call_in", api_fault("quota"), times=1)
        with pytest.raises(Problem):
            daemon.client.ticket("side-door")
        assert status(daemon)["problems"] != []
        cloud.revoke()
        with pytest.raises(Problem):
            daemon.client.refresh("home")
        assert status(daemon)["accounts"][0]["state"] == "login_required"
    flawed = copy.deepcopy(document)
    flawed["tickets"][0]["expires_in"] = "soon"
    del flawed["runway"]
    assert len(violations(flawed, SCHEMA)) == 2, "the check can fail"
