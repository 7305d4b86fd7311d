"""Restarts, kills and an upgrade under clients that never stop asking."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.broker_lab import copy_of_checkout
from tests.system.lab import AGENT, SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.broker_lab import BrokerLab


def under_load(lab: BrokerLab, kinds: dict[str, int], work: Callable[[], object]) -> dict[str, dict[str, Any]]:
    """What the clients of each kind saw while `work` was done."""
    loads = {kind: lab.popen(f"{AGENT} load {clients} {kind}") for kind, clients in kinds.items()}
    try:
        work()
    finally:
        told = {kind: load.communicate(timeout=120)[0] for kind, load in loads.items()}
    return {kind: json.loads(text) for kind, text in told.items()}


@pytest.mark.parametrize("restarts", [20, pytest.param(100, marks=pytest.mark.soak)])
def test_restarts_lose_no_request(lab: BrokerLab, restarts: int) -> None:
    seen = under_load(
        lab,
        {"new": 8, "kept": 4},
        lambda: lab.sh(f"for i in $(seq {restarts}); do systemctl restart {SERVICE}; done"),
    )
    assert seen["new"]["outcomes"] == {"200": seen["new"]["asked"]}
    assert set(seen["kept"]["outcomes"]) <= {"200", "closed"}, "a kept connection may only be closed between requests"
    assert seen["new"]["asked"] >= 8 * restarts, "each of them waited through each restart"
    assert lab.show(SERVICE, "NRestarts")["NRestarts"] == "0", "every one of them was asked for"


def test_twenty_kills_lose_only_what_was_accepted_and_the_next_answer_comes_within_a_second(lab: BrokerLab) -> None:
    before = int(lab.show(SERVICE, "NRestarts")["NRestarts"])
    spans: list[tuple[float, float]] = []
    seen = under_load(lab, {"new": 8}, lambda: spans.extend(json.loads(lab.agent("kills 20"))))["new"]
    assert int(lab.show(SERVICE, "NRestarts")["NRestarts"]) == before + 20
    lost = {outcome: count for outcome, count in seen["outcomes"].items() if outcome != "200"}
    assert all(outcome.startswith("cut") for outcome in lost), lost
    assert sum(lost.values()) <= 20 * 8, "at most what the eight had open at each kill"
    assert len(spans) == 20
    libraries = min(lab.libraries_seconds() for _ in range(3))
    assert max(took - waited for took, waited in spans) <= max(1.0, 4 * libraries), (spans, libraries)
    assert lab.get("/readyz")[0] == 200


def test_an_upgrade_under_load_loses_nothing_and_needs_no_login(lab: BrokerLab, wheels: Path) -> None:
    calls = len(lab.cloud_calls())
    copy = copy_of_checkout(wheels / "upgraded", version="99.0.0")
    seen = under_load(lab, {"new": 8, "kept": 2}, lambda: lab.sh(f"/srv/wheels/{copy.name}/systemd/install"))
    assert seen["new"]["outcomes"] == {"200": seen["new"]["asked"]}
    assert set(seen["kept"]["outcomes"]) <= {"200", "closed"}
    assert lab.get("/v1/status")[1]["version"] == "99.0.0"
    made = [call["endpoint"] for call in lab.cloud_calls()[calls:]]
    assert "token" not in made
    assert made.count("call_in") <= 1
