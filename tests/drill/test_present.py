"""A drill that begins with the present: what a running broker tells is what the drill has in hand."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.drill.intervals import total
from broker.drill.oracle import judge
from broker.drill.present import Held, Present, Waiting, present_from, present_of
from broker.drill.rehearsal import names, rehearsal
from broker.drill.script import DAY, HOUR, MINUTE, Household, from_json
from broker.drill.world import play
from broker.sandbox import CloudThread, Options
from tests.drill.presents import NOW, any_present
from tests.e2e.daemon import Daemon, account, ticket
from tests.operate.command import run

if TYPE_CHECKING:
    from pathlib import Path

    from broker.drill.world import Seen

FRONT_DOOR = Held("front-door", left_seconds=40 * MINUTE, in_hand=1, life_seconds=HOUR)
PRESENT = Present(NOW, 3 * DAY, 13 * DAY, 10 * MINUTE, 50 * MINUTE, calls_used=30, tickets=(FRONT_DOOR,))
TICKET_ROW: dict[str, Any] = {
    "name": "front-door",
    "account": "home",
    "state": "fresh",
    "code": None,
    "expires_in": 2400,
    "in_hand": 1,
    "last_failure": None,
    "plan": {"life_seconds": 3600, "demand": None},
}
STATUS: dict[str, Any] = {
    "now": NOW,
    "accounts": [
        {
            "name": "home",
            "state": "logged_in",
            "logged_in_at": NOW - 3 * DAY,
            "id_token": {"issued_at": NOW - 600, "expires_at": NOW + 3000, "expires_in": 3000},
            "last_failure": None,
            "quota": {"used": 30, "next_call_in": 0, "next_prefetch_in": 0, "stopped_for": 0},
            "runway": {"login": 13 * DAY, "tickets": 2370},
        }
    ],
    "tickets": [TICKET_ROW],
}


def lived(scenario: str, present: Present, household: Household | None = None, lasts: str | None = None) -> Seen:
    return play(rehearsal(scenario, lasts, household or Household(), present=present), keep_log=True)


def moments(seen: Seen, what: str) -> list[float]:
    """When such a line stands in the log."""
    return [float(line.split()[0]) for line in seen.watch.decisions or () if f" {what}" in line]


def test_the_status_document_is_taken_for_what_it_says() -> None:
    assert present_of(STATUS, "home") == PRESENT


def test_an_account_that_is_not_logged_in_has_no_present() -> None:
    logged_out = {**STATUS["accounts"][0], "state": "login_required"}
    assert present_of({**STATUS, "accounts": [logged_out]}, "home") is None
    assert present_of(STATUS, "office") is None


def test_what_failed_and_what_was_learnt_is_taken_over_too() -> None:
    failure = {
        "at": NOW - 60,
        "code": "rate_limited",
        "remedy": "retry",
        "detail": "429",
        "count": 2,
        "next_attempt_in": 9,
    }
    demand = {"since": NOW - DAY, "last_request": NOW - 5, "busiest": [{"hour": "Tuesday 18:00", "an_hour": 1.5}]}
    row = {**TICKET_ROW, "state": "unavailable", "code": "rate_limited", "expires_in": None, "in_hand": 0}
    row |= {"last_failure": failure, "plan": {"life_seconds": None, "demand": demand}}
    present = present_of({**STATUS, "tickets": [row]}, "home")
    assert present is not None
    waiting = Waiting("rate_limited", "retry", "429", 2, 60.0, 9.0)
    assert present.tickets == (
        Held("front-door", told=True, failure=waiting, hours=((42, 1.5),), asked_ago=5.0, learnt_for=DAY),
    )


def test_a_present_survives_being_written_down() -> None:
    for seed in range(20):
        household, present = any_present(seed)
        assert present_from(json.loads(json.dumps(asdict(present)))) == present
        script = rehearsal("outage", None, household, present=present)
        assert from_json(script.to_json()) == script


def test_an_outage_begins_now_and_is_felt_when_what_is_in_hand_ends() -> None:
    seen = lived("outage", PRESENT)
    gap = seen.watch.doors["front-door"].gaps[0]
    assert gap[0] == pytest.approx(40 * MINUTE - 30, abs=2)
    assert 2 * HOUR <= gap[1] < 2 * HOUR + 6 * MINUTE
    assert judge(seen).violations == ()
    assert not moments(seen, "login.")


def test_a_ticket_that_outlives_the_outage_leaves_no_gap() -> None:
    assert total(lived("outage", PRESENT, lasts="30m").watch.doors["front-door"].gaps) == 0


def test_nothing_is_fetched_before_its_time_because_a_drill_has_begun() -> None:
    seen = lived("clock", PRESENT)
    assert moments(seen, "call front-door")[0] > 19 * MINUTE
    assert moments(seen, "refresh: ok")[0] > 15 * MINUTE


def test_a_failure_of_before_is_waited_out() -> None:
    failed = replace(
        FRONT_DOOR, left_seconds=None, in_hand=0, failure=Waiting("config_error", "fix", "no", 3, 60, 1800)
    )
    seen = lived("clock", replace(PRESENT, tickets=(failed,)))
    assert moments(seen, "call front-door")[0] == pytest.approx(1800, abs=31)
    assert judge(seen).violations == ()


def test_a_stop_of_the_cloud_holds_and_what_is_in_hand_is_served() -> None:
    seen = lived("clock", replace(PRESENT, stopped_for=HOUR, next_call_in=HOUR, next_prefetch_in=HOUR))
    assert moments(seen, "call front-door")[0] >= HOUR
    assert seen.watch.doors["front-door"].gaps[0][0] == pytest.approx(40 * MINUTE - 30, abs=2)


def test_calls_of_the_day_before_count() -> None:
    """With 449 of 450 prefetches made, two more must wait until the first ones leave the day."""
    seen = lived("clock", replace(PRESENT, calls_used=450, next_prefetch_in=2 * HOUR))
    assert moments(seen, "call front-door")[0] >= 2 * HOUR


def test_a_login_that_ends_soon_is_warned_of() -> None:
    household = Household(sliding_window_seconds=5 * DAY, refresh_token_seconds=14 * DAY)
    seen = lived("suspend", replace(PRESENT, logged_in_ago=5 * DAY - 20 * HOUR, login_left=20 * HOUR), household, "1h")
    assert seen.watch.first_warning is not None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_any_present_goes_on_with_every_promise_kept(seed: int) -> None:
    household, present = any_present(seed)
    scenarios = [name for name, _ in names() if name not in ("year", "suspend", "secret-expired")]
    seen = lived(scenarios[seed % len(scenarios)], present, household)
    assert judge(seen).violations == ()


@pytest.mark.slow
def test_a_user_rehearses_what_a_running_broker_has_in_hand(tmp_path: Path) -> None:
    with (
        CloudThread(Options(ticket_seconds=1800)) as cloud,
        Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon,
    ):
        daemon.login(cloud)
        daemon.client.ticket("front-door", wait=20)
        config, environ = daemon.config, {"ELIOT_BROKER_CONFIG": str(daemon.config)}
        config.write_text(config.read_text("utf-8").replace('secret = "file:', 'secret = "credential:'), "utf-8")
        said = run("drill", "outage", "2h", "--json", environ=environ, socket=daemon.socket_path)
        daemon.stop()
        afterwards = run("drill", "outage", "2h", environ=environ, socket=daemon.socket_path)
    assert (said.returncode, said.stderr) == (0, ""), "no secret is needed, so none is missed"
    told = json.loads(said.stdout)
    assert told["figures"]["begins with, of front-door"] in ("30.0 min", "29.9 min", "29.8 min")
    assert told["script"]["household"]["ticket_seconds"] == 1800
    assert afterwards.returncode == 0
    assert "is sealed, and is not read" in afterwards.stderr
    assert "begins with a login a day before" in afterwards.stderr
