"""The sandbox of the service: strict by systemd's own measure, and everything works in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.broker_lab import CONFIG
from tests.system.lab import SERVICE

if TYPE_CHECKING:
    from tests.system.broker_lab import BrokerLab

UNITS = "eliot-broker.service eliot-broker-credentials.service eliot-broker.socket eliot-broker-online.*"
FILE = "/run/eliot-broker/tickets/front-door.jwt"
HOOK = "#!/bin/sh\nenv | sort > /run/eliot-broker/hook.$BROKER_EVENT\n"
CONFIG_FILE = "/etc/eliot-broker/broker.toml"


def test_systemd_finds_nothing_to_say_about_the_units(lab: BrokerLab) -> None:
    told = lab.sh(f"cd /etc/systemd/system; systemd-analyze verify --man=no {UNITS} 2>&1")
    assert told == "", "verify ends with 0 on unknown keys: any word is a failure"


def test_the_exposure_of_what_runs_is_at_most_1_3(lab: BrokerLab) -> None:
    for unit in ("eliot-broker.service", "eliot-broker-online.service"):
        lab.sh(f"systemd-analyze security --offline=true --threshold=13 --no-pager /etc/systemd/system/{unit}")


def test_login_refresh_and_tickets_work_in_it(lab: BrokerLab) -> None:
    lab.sh("eliot-broker logout home")
    lab.log_in()
    before = lab.get("/v1/tickets/front-door")[1]
    lab.sh("eliot-broker refresh home")
    lab.sh(f"eliot-broker ticket front-door --min-validity {before['expires_in'] - 60} | grep -q ^ey")
    assert "denied" not in lab.journal()


def test_a_file_is_published_to_a_group_and_taken_away_at_the_stop(lab: BrokerLab) -> None:
    lab.add_user("ringer", "doorbell")
    publish = f'publish = {{ path = "{FILE}", mode = "0640", group = "doorbell" }}\n'
    lab.write(CONFIG_FILE, CONFIG + publish)
    lab.sh(f"eliot-broker units --install --yes; systemctl restart {SERVICE}")
    lab.await_status("/readyz", 200)
    assert lab.sh(f"stat -c '%U %G %a' {FILE}").split() == ["eliot-broker", "doorbell", "640"]
    assert lab.sh(f"cat {FILE}", user="ringer").startswith("ey")
    lab.sh(f"cat {FILE}", user="nobody", status=1)
    lab.sh(f"systemctl stop {SERVICE}; test ! -e {FILE}")


def test_a_group_without_a_directory_of_its_own_is_told_how_to_get_one(lab: BrokerLab) -> None:
    lab.add_user("ringer", "doorbell")
    lab.sh("rm -rf /run/eliot-broker/other")
    publish = 'publish = { path = "/run/eliot-broker/other/front-door.jwt", group = "doorbell" }\n'
    lab.write(CONFIG_FILE, CONFIG + publish)
    cursor = lab.cursor()
    lab.sh(f"systemctl restart {SERVICE}")
    lab.await_journal("cannot be given to group doorbell", cursor)
    assert lab.get("/v1/tickets/front-door")[0] == 200, "callers of the socket are not concerned"


def test_a_hook_runs_in_it_and_finds_no_secret(lab: BrokerLab) -> None:
    lab.write("/usr/local/bin/tell-me", HOOK, mode="0755")
    lab.write(CONFIG_FILE, CONFIG + '[hooks]\ncommand = ["/usr/local/bin/tell-me"]\n')
    lab.sh(f"rm -f /run/eliot-broker/hook.*; systemctl reload {SERVICE}; eliot-broker logout home")
    lab.log_in()
    told = lab.await_file("/run/eliot-broker/hook.login.completed")
    assert "BROKER_ACCOUNT=home\n" in told
    assert "CREDENTIALS_DIRECTORY" not in told
    assert "NOTIFY_SOCKET" not in told
