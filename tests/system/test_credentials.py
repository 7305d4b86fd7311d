"""Secrets sealed by systemd-creds: there and back, missing, tampered with, and in no place where others look."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from broker.sandbox import credentials
from tests.system.broker_lab import CONFIG
from tests.system.lab import SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.broker_lab import BrokerLab

import pytest

STORE = "/etc/credstore.encrypted"
SECRETS = (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY)


@pytest.fixture
def store(lab: BrokerLab) -> Iterator[BrokerLab]:
    """What is sealed is put back after the test."""
    lab.sh(f"rm -rf /srv/kept; cp -a {STORE} /srv/kept")
    yield lab
    lab.sh(f"rm -rf {STORE}; cp -a /srv/kept {STORE}; systemctl restart {SERVICE}")


def test_the_service_lives_on_sealed_secrets_and_they_show_nowhere(lab: BrokerLab) -> None:
    assert lab.get("/v1/tickets/front-door")[0] == 200
    assert lab.get("/v1/status")[1]["state"]["key_source"] == "credential:state-key"
    pid = lab.sh(f"systemctl show -P MainPID {SERVICE}").strip()
    places = f"{STORE} /etc/eliot-broker /etc/systemd /run/systemd/system /var/lib/eliot-broker"
    for secret in SECRETS:
        lab.sh(f"grep -raF {secret} {places}", status=1)
        lab.sh(f"cat /proc/{pid}/environ /proc/{pid}/cmdline | grep -aF {secret}", status=1)
        lab.sh(f"journalctl -q --no-pager | grep -F {secret}", status=1)
        assert secret not in str(lab.get("/v1/status"))
    lab.sh(f"ls {STORE}/*", user="nobody", status=2)


def test_it_is_said_which_key_protects_them(lab: BrokerLab) -> None:
    told = lab.sh("eliot-broker credentials --list").splitlines()
    assert [line.partition(":")[0] for line in told] == ["state-key", "home-client-secret", "home-subscription-key"]
    assert all("this host's key" in line for line in told)


def test_a_missing_credential_is_named_in_the_answer_and_in_the_journal(store: BrokerLab) -> None:
    cursor = store.cursor()
    store.sh(f"rm {STORE}/eliot-broker.home-client-secret; systemctl restart {SERVICE}")
    status, problem = store.get("/v1/tickets/front-door")
    assert (status, problem["code"]) == (502, "config_error")
    assert "credential home-client-secret" in problem["detail"]
    store.await_journal("credential home-client-secret", cursor)


def test_a_credential_that_was_tampered_with_is_named_and_the_socket_outlives_it(store: BrokerLab) -> None:
    cursor = store.cursor()
    file = f"{STORE}/eliot-broker.home-subscription-key"
    sealed = bytearray(base64.b64decode(store.sh(f"cat {file}")))
    sealed[60] ^= 1  # a byte put there could be the one that is there already, one time in 256
    store.write(file, base64.b64encode(sealed).decode(), mode="0600")
    begun = time.monotonic()
    store.sh(f"systemctl restart {SERVICE}", status=1)
    assert time.monotonic() - begun >= 4, "the pause that keeps it from going round and round"
    store.await_journal("credential home-subscription-key in ", cursor, unit="eliot-broker-credentials.service")
    assert store.show("eliot-broker.socket", "ActiveState")["ActiveState"] == "active"
    store.sh(f"cp -a /srv/kept/. {STORE}/")
    store.await_status("/readyz", 200)


def test_a_state_key_in_use_is_sealed_as_it_is_and_never_replaced(store: BrokerLab) -> None:
    store.write("/etc/eliot-broker/broker.toml", CONFIG.replace('key = "credential:state-key"', ""))
    store.sh(f"systemctl stop {SERVICE}; rm -rf /var/lib/eliot-broker/*; systemctl restart {SERVICE}")
    store.log_in()
    store.sh(f"rm {STORE}/eliot-broker.state-key; eliot-broker credentials state-key")
    store.write("/etc/eliot-broker/broker.toml", CONFIG)
    store.sh(f"systemctl restart {SERVICE}; rm /var/lib/eliot-broker/state.key; systemctl restart {SERVICE}")
    store.await_status("/readyz", 200)
    store.sh("eliot-broker credentials state-key", status=2)
    store.sh(f"systemctl stop {SERVICE}; rm -rf /var/lib/eliot-broker/*")
