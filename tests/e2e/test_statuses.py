"""Every status of the call-in operation leads to its code and remedy, seen over the socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CAPTIVE_PORTAL, CloudThread, Fault, api_fault
from tests.e2e.daemon import Daemon, account, ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Row:
    """One row of the table: what the cloud answers, and what a client is told."""

    name: str
    fault: Fault
    code: str
    remedy: str
    status: int
    retry_after: range | None = None


RETRY = range(1, 400)
ROWS = (
    Row("400", api_fault("bad_request"), "config_error", "fix", 502),
    Row("401-twice", api_fault("unauthorized"), "config_error", "fix", 502),
    Row("401-key-missing", api_fault("missing_subscription_key"), "config_error", "fix", 502),
    Row("401-key-invalid", api_fault("invalid_subscription_key"), "config_error", "fix", 502),
    Row("403", api_fault("forbidden"), "config_error", "fix", 502),
    Row("403-quota", api_fault("quota"), "quota_exhausted", "retry", 503, range(25_200, 25_281)),
    Row("404", api_fault("not_found"), "gateway_offline", "retry", 503, range(1, 901)),
    Row("406", api_fault("not_acceptable"), "config_error", "fix", 502),
    Row("408", api_fault("timeout"), "upstream_unavailable", "retry", 503, RETRY),
    Row("429", api_fault("rate_limit"), "rate_limited", "retry", 503, range(50, 58)),
    Row("430", api_fault("bad_parameter"), "config_error", "fix", 502),
    Row("469", api_fault("password_expired"), "user_action_required", "fix", 502),
    Row("470", api_fault("terms_to_accept"), "user_action_required", "fix", 502),
    Row("486", api_fault("busy"), "upstream_unavailable", "retry", 503, RETRY),
    Row("500", api_fault("server_error"), "upstream_unavailable", "retry", 503, RETRY),
    Row("502", api_fault("bad_gateway"), "upstream_unavailable", "retry", 503, RETRY),
    Row("503", api_fault("unavailable"), "upstream_unavailable", "retry", 503, RETRY),
    Row("504", api_fault("gateway_timeout"), "upstream_unavailable", "retry", 503, RETRY),
    Row("html", CAPTIVE_PORTAL, "invalid_response", "retry", 503, RETRY),
    Row("redirect", Fault(302, headers={"Location": "https://elsewhere"}), "invalid_response", "retry", 503, RETRY),
    Row("204", Fault(204), "invalid_response", "retry", 503, RETRY),
    Row("418", Fault(418, "{}"), "config_error", "fix", 502),
    Row("reset", Fault(reset="before_commit"), "upstream_unavailable", "retry", 503, RETRY),
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


@pytest.fixture(scope="module")
def daemon(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One account and one ticket a row, for a failure of one row may hold all tickets of its account."""
    directory: Path = tmp_path_factory.mktemp("statuses")
    text = "".join(
        account(cloud, directory, f"a{row.name}") + ticket(f"t{row.name}", of=f"a{row.name}", more='warm = "on-demand"')
        for row in ROWS
    )
    with Daemon(directory, text) as started:
        for row in ROWS:
            started.login(cloud, f"a{row.name}")
        yield started


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_status_of_the_cloud_is_told_with_code_and_remedy(daemon: Daemon, cloud: Cloud, row: Row) -> None:
    cloud.script.add("call_in", row.fault, times=2 if row.name == "401-twice" else 1)
    before = cloud.calls.count("call_in")
    problem = daemon.problem(f"t{row.name}")
    assert (problem.code, problem.remedy, problem.status) == (row.code, row.remedy, row.status), problem
    assert (problem.retry_after in row.retry_after) if row.retry_after else problem.retry_after is None
    again = daemon.problem(f"t{row.name}")
    assert again.code == row.code
    calls = 2 if row.name == "401-twice" else 1
    assert cloud.calls.count("call_in") - before == calls, "a known failure is told from memory, without a call"


def test_an_on_demand_ticket_that_nobody_asked_for_has_no_code(daemon: Daemon, cloud: Cloud) -> None:
    rows = {row["name"]: row for row in daemon.client.tickets()}
    assert rows["t400"]["state"] == "unavailable"
    assert {row["state"] for row in rows.values()} == {"unavailable"}
