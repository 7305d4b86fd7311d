"""Starts in a bad hour: no network, the clock in 1970, a full disk, another's directory. READY or a clear failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.lab import SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.broker_lab import BrokerLab

STATE = "/var/lib/eliot-broker"
FAKETIME = """\
[Service]
Environment=LD_PRELOAD={library} FAKETIME_DONT_FAKE_MONOTONIC=1 "FAKETIME=@1970-01-01 00:00:10"
"""


def assert_steady(lab: BrokerLab, restarts: str) -> None:
    """It runs, and nobody started it again."""
    shown = lab.show(SERVICE, "ActiveState", "NRestarts")
    assert shown == {"ActiveState": "active", "NRestarts": restarts}


def test_without_a_network_it_is_ready_and_serves_what_it_has(lab: BrokerLab) -> None:
    restarts = lab.show(SERVICE, "NRestarts")["NRestarts"]
    lab.sh("ip link set lo down")
    try:
        lab.sh(f"systemctl restart {SERVICE}")
        assert lab.get("/v1/tickets/front-door")[0] == 200
        assert_steady(lab, restarts)
    finally:
        lab.sh("ip link set lo up")


def test_without_a_network_and_without_a_ticket_it_is_ready_and_says_why(lab: BrokerLab) -> None:
    lab.sh(f"systemctl stop {SERVICE}; rm -f {STATE}/tickets-*; ip link set lo down")
    try:
        lab.sh(f"systemctl restart {SERVICE}")
        status, problem = lab.get("/v1/tickets/front-door")
        assert (status, problem["code"]) == (503, "upstream_unavailable")
    finally:
        lab.sh("ip link set lo up")
    lab.await_status("/readyz", 200)


def test_with_the_clock_in_1970_it_is_ready_and_believes_no_clock(lab: BrokerLab) -> None:
    library = lab.sh("ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -1 || true").strip()
    if not library:
        pytest.skip("needs libfaketime (apt-get install faketime)")
    lab.drop_in(FAKETIME.format(library=library))
    lab.sh(f"systemctl restart {SERVICE}")
    restarts = lab.show(SERVICE, "NRestarts")["NRestarts"]
    status, answer = lab.get("/v1/tickets/front-door")
    assert status == 200, f"its life is counted on a clock that no step moves: {answer}"
    assert_steady(lab, restarts)
    lab.sh(f"rm -rf /run/systemd/system/*.d; systemctl daemon-reload; systemctl restart {SERVICE}")
    assert lab.get("/v1/tickets/front-door")[0] == 200


@pytest.fixture
def small_disk(lab: BrokerLab) -> Iterator[BrokerLab]:
    """A state directory of 1 MB, with what was in it."""
    lab.sh(f"systemctl stop {SERVICE}; cp -a {STATE} /srv/state; mount -t tmpfs -o size=1M,mode=700 tmpfs {STATE}")
    lab.sh(f"cp -a /srv/state/. {STATE}; chown eliot-broker: {STATE}")
    yield lab
    lab.sh(f"systemctl stop {SERVICE}; umount {STATE}; rm -rf /srv/state")


def fill(lab: BrokerLab) -> None:
    """Leave not a byte."""
    lab.sh(
        f"dd if=/dev/zero of={STATE}/filler bs=4k status=none 2>/dev/null || true; ! echo x > {STATE}/probe",
        status=None,
    )
    lab.sh(f"! dd if=/dev/zero of={STATE}/more bs=4k count=1 status=none 2>/dev/null")


def test_with_a_full_disk_and_a_state_it_is_ready_and_serves(small_disk: BrokerLab) -> None:
    fill(small_disk)
    small_disk.sh(f"systemctl restart {SERVICE}")
    restarts = small_disk.show(SERVICE, "NRestarts")["NRestarts"]
    assert small_disk.get("/v1/tickets/front-door")[0] == 200
    small_disk.sh("eliot-broker refresh home")
    assert_steady(small_disk, restarts)


def test_with_a_full_disk_and_no_state_it_says_so_and_goes_on_when_there_is_room(small_disk: BrokerLab) -> None:
    small_disk.write("/etc/eliot-broker/broker.toml", small_disk.sh("grep -v state-key /etc/eliot-broker/broker.toml"))
    small_disk.sh(f"rm -f {STATE}/*")
    fill(small_disk)
    small_disk.sh(f"systemctl restart {SERVICE}")
    restarts = small_disk.show(SERVICE, "NRestarts")["NRestarts"]
    status, problem = small_disk.get("/v1/tickets/front-door")
    assert (status, problem["code"], problem["remedy"]) == (502, "state_unavailable", "fix")
    assert "no space left" in problem["detail"].lower()
    assert_steady(small_disk, restarts)
    small_disk.sh(f"rm -f {STATE}/filler {STATE}/more {STATE}/probe; systemctl reload {SERVICE}")
    small_disk.log_in()
    assert_steady(small_disk, restarts)


def test_a_state_directory_of_another_owner_is_put_right(lab: BrokerLab) -> None:
    lab.sh(f"systemctl stop {SERVICE}; chown -R nobody {STATE}; systemctl restart {SERVICE}")
    assert lab.get("/v1/tickets/front-door")[0] == 200
    assert lab.sh(f"stat -c %U {STATE} {STATE}/account-home.sealed").split() == ["eliot-broker"] * 2


def test_a_service_that_cannot_start_never_takes_the_socket_down(lab: BrokerLab) -> None:
    lab.drop_in("[Service]\nExecStart=\nExecStart=/bin/false\nExecStopPost=\n")  # no pause: far past any start limit
    lab.sh(f"systemctl restart {SERVICE}", status=1)
    asking = lab.popen("for i in $(seq 30); do eliot-broker status & done; wait")
    lab.await_restarts(SERVICE, 12)
    assert lab.show("eliot-broker.socket", "ActiveState", "Result") == {"ActiveState": "active", "Result": "success"}
    lab.sh("rm -rf /run/systemd/system/*.d; systemctl daemon-reload")
    lab.await_status("/readyz", 200)
    asking.communicate(timeout=240)
