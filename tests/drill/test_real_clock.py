"""The drill against reality: one bad day lived by a real process on a real clock, and by the drill, decides the same.

Lives are seconds here, and every phase of the real day lasts until what it must show has been told; the drill's phases
last long enough for the same. Compared is, for each subject, what was decided in which order: how often something
was repeated (a renewal, a failed attempt) depends on how long a phase lasted, so repetitions count once.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from broker.drill.oracle import judge
from broker.drill.script import DAY, Door, Happening, Household, Script
from broker.drill.world import play
from broker.sandbox import CloudThread, Fault, Options
from broker.sandbox.api_errors import api_fault
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from broker.sandbox import Cloud

TICKET_SECONDS, ID_TOKEN_SECONDS = 12, 16
STOP = "Out of call volume quota. Quota will be replenished in 00:00:14."  # the ticket ends within 3 s
PHASE_SECONDS = 60.0
SUBJECTS = {
    "login": {
        "login.completed",
        "login.required",
        "id_token.refreshed",
        "id_token.refresh_failed",
        "id_token.refresh_ambiguous",
    },
    "ticket": {"ticket.issued", "ticket.issue_failed", "ticket.unavailable", "ticket.recovered"},
    "quota": {"quota.exhausted", "quota.replenished"},
}
BAD_DAY = Script(
    2,  # its person logs in at once; another seed's begins, gives up and comes again later
    2000.0,
    Household(
        (Door("front-door", requests_a_day=0.0),),
        ticket_seconds=TICKET_SECONDS,
        id_token_seconds=ID_TOKEN_SECONDS,
        refresh_token_seconds=14 * DAY,
        daily_quota=0,
        answer_seconds=0.05,
        person_seconds=60.0,
    ),
    (
        Happening(100.0, "outage", 60.0, {"form": "503"}),
        Happening(800.0, "quota_gone", 30.0),
        Happening(815.0, "kill", 1.0),
        Happening(1200.0, "revoked"),
    ),
)
RENEWALS = {"ticket.issued", "id_token.refreshed"}
WELL = RENEWALS | {"ticket.recovered", "login.completed"}
Decision = tuple[str, str]  # the event, and its code


def in_order(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """What each subject decided since the first login, repetitions counted once."""
    all_of_them = list(decisions)
    begin = all_of_them.index(("login.completed", ""))
    found: dict[str, list[Decision]] = {subject: [] for subject in SUBJECTS}
    for decision in all_of_them[begin:]:
        for subject, events in SUBJECTS.items():
            if decision[0] in events and not _repeats(found[subject], decision):
                found[subject].append(decision)
    return found


def _repeats(before: list[Decision], decision: Decision) -> bool:
    """The same again, or a renewal while all is well."""
    return before[-1:] == [decision] or (decision[0] in RENEWALS and bool(before) and before[-1][0] in WELL)


def drilled() -> list[Decision]:
    seen = play(BAD_DAY, keep_log=True)
    assert judge(seen).violations == ()
    found = []
    for line in seen.watch.decisions or ():
        event, *facts = line.split()[1:]
        code = next((fact.removeprefix("code=") for fact in facts if fact.startswith("code=")), "")
        found.append((event, code))
    return found


def lived(daemon: Daemon) -> list[Decision]:
    """What the process has told so far; a line that is being written counts once it is whole."""
    lines = daemon.log().splitlines(keepends=True)
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
    return [(row["event"], row.get("code", "")) for row in rows]


def wait_for(daemon: Daemon, decisions: set[Decision], since: int) -> None:
    until(
        lambda: decisions <= set(lived(daemon)[since:]),
        seconds=PHASE_SECONDS,
        what=lambda: f"{decisions} in {lived(daemon)[since:]}",
        every_seconds=0.1,
    )


def break_down(cloud: Cloud) -> None:
    for endpoint in ("token", "call_in"):
        cloud.script.add(endpoint, Fault(503, "Service unavailable"), times=None)


def live_through(daemon: Daemon, cloud: Cloud) -> None:
    """The bad day, each phase until its end is told."""
    down = "upstream_unavailable"
    daemon.login(cloud)
    wait_for(daemon, {("ticket.issued", "")}, 0)
    begin = len(lived(daemon))
    break_down(cloud)
    wait_for(daemon, {("id_token.refresh_ambiguous", down), ("ticket.unavailable", down)}, begin)
    begin = len(lived(daemon))
    cloud.script.clear()
    wait_for(daemon, {("id_token.refreshed", ""), ("ticket.recovered", "")}, begin)
    begin = len(lived(daemon))
    cloud.script.add("call_in", api_fault("quota", message=STOP))
    wait_for(daemon, {("quota.exhausted", ""), ("ticket.unavailable", "quota_exhausted")}, begin)
    daemon.stop(signal.SIGKILL)
    begin = len(lived(daemon))
    daemon.start().wait_up()
    wait_for(daemon, {("quota.replenished", ""), ("ticket.recovered", "")}, begin)
    begin = len(lived(daemon))
    cloud.revoke()
    wait_for(daemon, {("login.required", ""), ("ticket.unavailable", "login_required")}, begin)
    begin = len(lived(daemon))
    daemon.login(cloud)
    wait_for(daemon, {("ticket.recovered", "")}, begin)


@pytest.mark.slow
def test_a_real_process_on_a_real_clock_decides_as_the_drill_does(tmp_path: Path) -> None:
    options = Options(ticket_seconds=TICKET_SECONDS, id_token_seconds=ID_TOKEN_SECONDS)
    with CloudThread(options) as cloud:
        text = account(cloud, tmp_path, api="daily_quota = 0") + ticket()
        with Daemon(tmp_path, text, log_level="info") as daemon:
            live_through(daemon, cloud)
            found = lived(daemon)
    assert in_order(found) == in_order(drilled())
