"""Metrics: the whole list of them, true numbers, over the socket and over TCP; dashboard and alerts that fit them."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from broker.client import Problem, operations
from broker.sandbox import CloudThread, api_fault
from broker.services.counters import Counters
from broker.services.metrics import exposition
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.operate.openmetrics import families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.sandbox import Cloud
    from tests.operate.openmetrics import Family

EMPTY = {"tickets": [], "accounts": [], "clock": {"skew_seconds": None}}
WANTED = {
    "eliot_broker_ticket_seconds_left", "eliot_broker_ticket_available", "eliot_broker_vends", "eliot_broker_calls",
    "eliot_broker_quota_remaining", "eliot_broker_quota_used", "eliot_broker_refreshes", "eliot_broker_failures",
    "eliot_broker_runway_seconds", "eliot_broker_clock_skew_seconds", "eliot_broker_sweep_lag_seconds",
    "eliot_broker_login_seconds_left", "eliot_broker_logged_in", "eliot_broker_id_token_seconds_left",
    "eliot_broker_configuration_usable", "eliot_broker_refused_requests", "eliot_broker_hook_failures",
    "eliot_broker_attention", "eliot_broker_defects", "eliot_broker_sweeps",
}  # fmt: skip
NAME = re.compile(r"\beliot_broker_[a-z_]+")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


@pytest.fixture(scope="module")
def daemon(cloud: Cloud, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("metrics")
    doors = (ticket(name, more='warm = "on-demand"') for name in ("front-door", "side-door"))
    text = account(cloud, directory) + "".join(doors)
    with Daemon(directory, text + f'[metrics]\nlisten = "127.0.0.1:{port}"\n') as started:
        started.login(cloud)
        yield started


def scrape(daemon: Daemon) -> dict[str, Family]:
    return families(daemon.client.exchange(operations.read("/metrics")).take().decode())


def value(found: dict[str, Family], name: str, **labels: str) -> float:
    return next((number for known, number in found[name].samples if known == labels), 0.0)


@pytest.mark.slow
def test_every_number_of_the_list_is_there_and_true(daemon: Daemon, cloud: Cloud) -> None:
    daemon.client.refresh("home")
    daemon.client.ticket("front-door", wait=30)
    daemon.client.ticket("front-door")
    cloud.script.add("call_in", api_fault("busy"), times=1)
    with pytest.raises(Problem):
        daemon.client.ticket("side-door")
    found = scrape(daemon)
    assert set(found) == WANTED
    assert all(family.help for family in found.values())
    assert value(found, "eliot_broker_vends", ticket="front-door", result="ok") == 2
    assert value(found, "eliot_broker_vends", ticket="side-door", result="upstream_unavailable") == 1
    assert value(found, "eliot_broker_calls", account="home", status="486") == 1
    assert value(found, "eliot_broker_calls", account="home", status="200") == 1
    assert value(found, "eliot_broker_quota_used", account="home") == cloud.calls.count("call_in") == 2
    assert value(found, "eliot_broker_refreshes", account="home", result="ok") == 1
    assert value(found, "eliot_broker_failures", service="issuer", code="upstream_unavailable") == 1
    assert value(found, "eliot_broker_attention", remedy="fix") == 0
    assert value(found, "eliot_broker_sweeps") > 0
    assert 0 < value(found, "eliot_broker_ticket_seconds_left", ticket="front-door") <= 300
    assert value(found, "eliot_broker_login_seconds_left", account="home") > 1_000_000


@pytest.mark.slow
def test_over_tcp_there_is_this_text_and_nothing_else(daemon: Daemon, port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert set(families(answer.read().decode())) == WANTED
    for path, method in (("/v1/status", "GET"), ("/", "GET"), ("/v1/tickets/front-door", "GET"), ("/metrics", "POST")):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code in {404, 405}
        refused.value.close()


@pytest.mark.slow
def test_a_reload_turns_it_off_and_it_is_off_by_default(daemon: Daemon, cloud: Cloud, port: int) -> None:
    daemon.write(account(cloud, daemon.directory) + ticket(more='warm = "on-demand"'))
    assert daemon.client.reload()["changes"] == ["ticket side-door removed", "metrics changed: listen"]
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_names_are_escaped_and_an_empty_broker_has_metrics_too() -> None:
    counters = Counters()
    counters.add("eliot_broker_calls", account='a"\\\n', status="200")
    found = families(exposition(EMPTY, counters, usable=False))
    assert found["eliot_broker_calls"].samples == [({"account": r"a\"\\\n", "status": "200"}, 1.0)]
    assert found["eliot_broker_configuration_usable"].samples == [({}, 0.0)]


def test_a_sweep_that_was_woken_early_is_not_late() -> None:
    counters = Counters()
    counters.swept(10.0)
    counters.next_sweep_at(40.0)
    counters.swept(12.0)
    assert counters.sweep_lag_seconds == 0.0
    counters.swept(43.5)
    assert counters.sweep_lag_seconds == 3.5


def known_names() -> set[str]:
    found = families(exposition(EMPTY, Counters()))
    return {f"{name}_total" if family.kind == "counter" else name for name, family in found.items()}


def test_the_alerts_ask_for_metrics_that_are_there() -> None:
    text = (ROOT / "config" / "prometheus" / "alerts.yml").read_text()
    rules = re.findall(r"- alert: (\w+)\n +expr: (.+)\n", text)
    assert len(rules) == text.count("alert:") == text.count("summary:") == text.count("description:") >= 8
    asked = {name for _, expr in rules for name in NAME.findall(expr)}
    assert asked <= known_names()


def test_the_dashboard_asks_for_metrics_that_are_there() -> None:
    board = json.loads((ROOT / "config" / "grafana" / "eliot-broker.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in NAME.findall(target["expr"])}
    assert asked <= known_names()
    assert len(asked) >= 12
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
