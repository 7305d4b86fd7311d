"""Who gets what: rules by unit with real units, the socket's group and mode with real users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.system.broker_lab import CONFIG
from tests.system.lab import SERVICE, SOCKET

if TYPE_CHECKING:
    from tests.system.broker_lab import BrokerLab

ASK = f"curl -s -o /dev/null -w '%{{http_code}}' --unix-socket {SOCKET} http://localhost/v1/tickets/front-door"


def asked_by(lab: BrokerLab, unit: str) -> str:
    """The status that a process of this unit gets, as a user who may open the socket."""
    user = "-p User=nobody -p SupplementaryGroups=eliot-broker"
    return lab.sh(f"systemd-run -q --wait --pipe --collect --unit={unit} {user} {ASK}")


def test_a_ticket_is_for_the_unit_that_is_allowed_and_for_no_other(lab: BrokerLab) -> None:
    lab.write("/etc/eliot-broker/broker.toml", CONFIG + 'allow = ["unit:sip-gateway.service"]\n')
    lab.sh(f"systemctl reload {SERVICE}")
    assert asked_by(lab, "sip-gateway.service") == "200"
    assert asked_by(lab, "other.service") == "403"
    assert asked_by(lab, "sip-gateway-2.service") == "403"


def test_a_ticket_is_for_the_user_that_is_allowed_and_for_no_other(lab: BrokerLab) -> None:
    """The sandbox leaves the users' own ids as they are: with PrivateUsers= every peer would be nobody."""
    lab.add_user("alice", "eliot-broker")
    lab.add_user("carol", "eliot-broker")
    lab.write("/etc/eliot-broker/broker.toml", CONFIG + 'allow = ["user:alice"]\n')
    lab.sh(f"systemctl reload {SERVICE}")
    assert lab.get("/v1/tickets/front-door", user="alice")[0] == 200
    assert lab.get("/v1/tickets/front-door", user="carol")[0] == 403


def test_the_socket_is_open_to_its_group_alone(lab: BrokerLab) -> None:
    lab.add_user("alice", "eliot-broker")
    lab.add_user("bob", "nogroup")
    assert lab.sh(f"stat -c '%U %G %a' {SOCKET}").split() == ["eliot-broker", "eliot-broker", "660"]
    assert lab.get("/v1/tickets/front-door", user="alice")[0] == 200
    assert lab.get("/v1/tickets/front-door", user="bob") == (0, None)


def test_another_group_of_the_socket_outlives_restarts(lab: BrokerLab) -> None:
    lab.add_user("ringer", "doorbell")
    lab.drop_in("[Socket]\nSocketGroup=doorbell\n", "eliot-broker.socket")
    try:
        lab.sh(
            f"systemctl stop {SERVICE}; systemctl restart eliot-broker.socket {SERVICE}; systemctl restart {SERVICE}"
        )
        assert lab.sh(f"stat -c '%G %a' {SOCKET}").split() == ["doorbell", "660"]
        assert lab.get("/v1/tickets/front-door", user="ringer")[0] == 200
        assert lab.get("/v1/tickets/front-door", user="nobody") == (0, None)
    finally:
        lab.sh(f"rm -rf /run/systemd/system/*.d; systemctl daemon-reload; systemctl stop {SERVICE}")
        lab.sh("systemctl restart eliot-broker.socket")


def test_reload_is_for_admins_and_login_too(lab: BrokerLab) -> None:
    lab.add_user("alice", "eliot-broker")
    lab.sh("eliot-broker reload", user="alice", status=6)
    lab.sh("eliot-broker logout home", user="alice", status=6)
    lab.sh("eliot-broker reload", user="eliot-broker")
