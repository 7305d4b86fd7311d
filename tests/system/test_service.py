"""Start, status, reload, watchdog and stop of the service, as systemd sees them."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from broker.sandbox import credentials
from tests.system.broker_lab import CONFIG
from tests.system.lab import AGENT, SERVICE

if TYPE_CHECKING:
    from tests.system.broker_lab import BrokerLab

TIMED_STOP = f"s=$(date +%s%N); systemctl stop {SERVICE}; echo $(( ($(date +%s%N) - s) / 1000000 ))"
CONFIG_FILE = "/etc/eliot-broker/broker.toml"
BACK_DOOR = f"""
[tickets.back-door]
account = "home"
plant_id = "{credentials.PLANT_ID}"
device_id = "{credentials.OTHER_DEVICE_ID}"
"""
QUICK_WATCHDOG = "[Service]\nWatchdogSec=2s\n"


def test_from_its_start_to_ready_it_takes_at_most_half_a_second_of_its_own_time(lab: BrokerLab) -> None:
    """CPU time, user and system, of the process when `systemctl restart` is back, that is when it said READY."""
    own, libraries = [], []
    for _ in range(4):
        told = lab.sh(f"systemctl restart {SERVICE}; cat /proc/$(systemctl show -P MainPID {SERVICE})/stat")
        own.append(sum(map(int, told.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK"))
        libraries.append(lab.libraries_seconds())
    assert min(own) <= max(0.5, 2 * min(libraries)), (own, libraries)


def test_an_idle_service_stops_within_a_second_and_the_socket_starts_it_again(lab: BrokerLab) -> None:
    assert int(lab.sh(TIMED_STOP)) <= 1000
    assert lab.show(SERVICE, "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    assert lab.get("/readyz")[0] == 200


def test_the_status_is_one_line_with_state_and_runway(lab: BrokerLab) -> None:
    lab.await_status_text("ready; tickets: ")
    lab.sh("eliot-broker logout home")
    lab.await_status_text("login required: home")


def test_a_stop_ends_within_five_seconds_whatever_its_clients_do(lab: BrokerLab) -> None:
    lab.control("options", '{"gateway_online": false}')
    lab.sh("eliot-broker logout home")
    lab.log_in(until_ready=False)
    clinging = lab.popen(f"{AGENT} cling")
    try:
        assert clinging.stdout is not None
        assert clinging.stdout.readline() == "ready\n"
        took = int(lab.sh(TIMED_STOP))
        told = json.loads(clinging.communicate(timeout=60)[0])
    finally:
        clinging.kill()
    assert took <= 5000
    assert lab.show(SERVICE, "Result")["Result"] == "success"
    assert '{"type":"end"}' in told["watch"].replace(" ", "")
    assert told["wait"].startswith("HTTP/1.1 503 ")
    assert "shutting_down" in told["wait"]


def test_a_token_request_in_flight_is_waited_for_and_its_answer_kept(lab: BrokerLab) -> None:
    lab.drop_in("[Service]\nTimeoutStopSec=3s\n")  # without EXTEND_TIMEOUT_USEC it would be killed
    lab.control("faults", '{"endpoint": "token", "fault": {"delay_seconds": 9}}')
    before = len([call for call in lab.cloud_calls() if call["endpoint"] == "token"])
    refreshing = lab.popen("eliot-broker refresh home")
    lab.await_call("token", after=before)
    took = int(lab.sh(TIMED_STOP))
    refreshing.communicate(timeout=60)
    assert 3000 < took < 30_000
    assert lab.show(SERVICE, "Result")["Result"] == "success"
    tokens = [call for call in lab.cloud_calls() if call["endpoint"] == "token"]
    lab.sh("eliot-broker refresh home")
    again = [call for call in lab.cloud_calls() if call["endpoint"] == "token"]
    assert len(again) == len(tokens) + 1
    assert again[-1]["refresh_token"] == tokens[-1]["new_refresh_token"], "the answer was on disk before the end"


def test_a_reload_waits_for_its_outcome(lab: BrokerLab) -> None:
    lab.write(CONFIG_FILE, CONFIG + BACK_DOOR)
    lab.sh(f"systemctl reload {SERVICE}")
    names = [ticket["name"] for ticket in lab.get("/v1/tickets")[1]["tickets"]]
    assert names == ["front-door", "back-door"], "in force when the command is back"
    assert lab.show(SERVICE, "ActiveState")["ActiveState"] == "active"


def test_a_reload_of_a_bad_file_fails_and_the_old_configuration_stays_in_force(lab: BrokerLab) -> None:
    cursor = lab.cursor()
    lab.write(CONFIG_FILE, CONFIG.replace("plant_id", "plan_id"))
    lab.sh(f"systemctl reload {SERVICE}", status=1)
    assert "plan_id" in lab.journal(cursor=cursor)
    assert lab.show(SERVICE, "ActiveState", "NRestarts")["ActiveState"] == "active"
    assert lab.get("/v1/tickets/front-door")[0] == 200


def test_a_start_with_a_bad_file_is_degraded_and_a_reload_repairs_it(lab: BrokerLab) -> None:
    lab.write(CONFIG_FILE, "nonsense = 1\n")
    pid = lab.sh(f"systemctl restart {SERVICE}; systemctl show -P MainPID {SERVICE}")
    status, problem = lab.get("/v1/tickets/front-door")
    assert (status, problem["code"], problem["remedy"]) == (502, "config_error", "fix")
    assert lab.get("/v1/status")[1]["code"] == "config_error"
    assert lab.get("/healthz")[0] == 200
    lab.await_status_text("degraded: ")
    lab.sh(f"systemctl reload {SERVICE}", status=1)
    lab.write(CONFIG_FILE, CONFIG)
    lab.sh(f"systemctl reload {SERVICE}")
    assert lab.get("/v1/tickets/front-door")[0] == 200
    assert lab.sh(f"systemctl show -P MainPID {SERVICE}") == pid, "no restart was needed"


def test_a_hung_loop_is_ended_by_the_watchdog_and_started_again(lab: BrokerLab) -> None:
    lab.drop_in(QUICK_WATCHDOG)
    lab.sh(f"systemctl restart {SERVICE}")
    before = lab.show(SERVICE, "MainPID", "NRestarts")
    lab.sh(f"kill -STOP {before['MainPID']}")
    lab.await_property(SERVICE, "NRestarts", str(int(before["NRestarts"]) + 1))
    assert "Watchdog timeout" in lab.journal()
    lab.await_status("/readyz", 200)
    assert lab.show(SERVICE, "MainPID")["MainPID"] != before["MainPID"]


def test_a_loop_that_turns_but_serves_no_socket_is_ended_too(lab: BrokerLab) -> None:
    """Seen from the broker's clients: whoever listens at its path accepts and never answers."""
    lab.drop_in(QUICK_WATCHDOG)
    lab.sh(f"systemctl restart {SERVICE}")
    before = int(lab.show(SERVICE, "NRestarts")["NRestarts"])
    silent = lab.popen(f"{AGENT} usurp")
    try:
        assert silent.stdout is not None
        assert silent.stdout.readline() == "ready\n"
        lab.await_restarts(SERVICE, before + 1)  # or more: it stays silent
    finally:
        silent.communicate("")
    lab.sh(f"systemctl restart eliot-broker.socket {SERVICE}")
    lab.await_status("/readyz", 200)


def test_a_hung_cloud_is_no_reason_for_a_restart(lab: BrokerLab) -> None:
    lab.drop_in(QUICK_WATCHDOG)
    lab.sh(f"systemctl restart {SERVICE}")
    before = lab.show(SERVICE, "MainPID")
    for endpoint in ("token", "call_in"):
        lab.control("faults", f'{{"endpoint": "{endpoint}", "times": 9, "fault": {{"hang": "before_commit"}}}}')
    asking = lab.popen(
        "eliot-broker refresh home & eliot-broker ticket front-door --min-validity 299 --wait 5 || true; wait"
    )
    begun = time.monotonic()
    while time.monotonic() < begun + 4:  # twice the watchdog's time
        assert lab.get("/v1/tickets/front-door")[0] == 200
    assert lab.show(SERVICE, "MainPID") == before
    lab.control("release")
    lab.control("clear")
    asking.communicate(timeout=120)


def test_the_online_target_is_reached_when_tickets_can_be_had(lab: BrokerLab) -> None:
    lab.sh("eliot-broker logout home; systemctl start --no-block eliot-broker-online.target")
    lab.await_property("eliot-broker-online.service", "ActiveState", "activating")
    assert lab.show("eliot-broker-online.target", "ActiveState")["ActiveState"] == "inactive"
    lab.log_in()
    lab.await_property("eliot-broker-online.target", "ActiveState", "active")
    lab.sh("systemctl stop eliot-broker-online.target eliot-broker-online.service")
