"""Rules by unit, and peers that fork, lend their connection to another unit, or die after connecting: real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.broker_lab import CONFIG
from tests.system.lab import SERVICE

if TYPE_CHECKING:
    from tests.system.broker_lab import BrokerLab

ALLOWED, OTHER = "sip-gateway.service", "other.service"
GIVEN, REFUSED = "HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden"
AS = "-p User=nobody -p SupplementaryGroups=eliot-broker"
RUN = f"systemd-run -q --wait --pipe --collect {AS}"
PEERS = "/opt/eliot-broker/current/bin/python /srv/lab/peers.py"
MEETING = "/tmp/meeting"


@pytest.fixture
def by_unit(lab: BrokerLab) -> BrokerLab:
    """The service with a ticket that is for one unit."""
    lab.write("/etc/eliot-broker/broker.toml", CONFIG + f'allow = ["unit:{ALLOWED}"]\n')
    lab.sh(f"systemctl reload {SERVICE}; rm -f {MEETING}")
    return lab


def told_by(lab: BrokerLab, unit: str, words: str) -> str:
    return lab.sh(f"{RUN} --unit={unit} {PEERS} {words}").strip()


@pytest.mark.parametrize(("unit", "told"), [(ALLOWED, GIVEN), (OTHER, REFUSED)])
def test_a_child_that_asks_on_its_parents_connection_is_of_the_same_unit(
    by_unit: BrokerLab, unit: str, told: str
) -> None:
    assert told_by(by_unit, unit, "fork") == told


def borrowed(lab: BrokerLab, lender: str, how: str, borrower: str, ask: str) -> str:
    """What a process of `borrower` is told on a connection that one of `lender` opened."""
    return lab.sh(
        f"systemd-run -q --collect {AS} --unit={lender} {PEERS} {how} {MEETING};"
        f"{RUN} --unit={borrower} {PEERS} {ask} {MEETING}"
    ).strip()


def test_a_connection_that_another_unit_lends_opens_nothing_to_the_unit_that_is_allowed(by_unit: BrokerLab) -> None:
    """Who connected counts: a process of an unallowed unit gains nothing by handing its connection on."""
    assert borrowed(by_unit, OTHER, "lend", ALLOWED, "borrow") == REFUSED


def test_who_is_allowed_and_lends_his_connection_answers_for_it(by_unit: BrokerLab) -> None:
    """Like the file that one may read and copies: said in the README."""
    assert borrowed(by_unit, ALLOWED, "lend", OTHER, "borrow") == GIVEN


def test_a_peer_that_is_dead_when_it_is_asked_for_has_no_unit_and_never_anothers(by_unit: BrokerLab) -> None:
    assert borrowed(by_unit, OTHER, "die", ALLOWED, "borrow-late") == REFUSED


def test_numbers_of_processes_that_are_used_again_are_nobodys_leave(by_unit: BrokerLab) -> None:
    """The number of a dead peer is given to a process of the allowed unit before anything is asked."""
    by_unit.sh(
        f"systemd-run -q --collect --unit={ALLOWED} sleep 60; until systemctl -q is-active {ALLOWED}; do :; done"
    )
    told = by_unit.sh(f"systemd-run -q --wait --pipe --collect --unit={OTHER} {PEERS} reuse {ALLOWED}").strip()
    by_unit.sh(f"systemctl stop {ALLOWED}")
    assert told == REFUSED
