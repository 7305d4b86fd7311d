"""`setup` as root on a machine without a service: what it seals, installs and starts is the service, and a ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.sandbox import credentials
from tests.system.broker_lab import CLOUD_PORT
from tests.system.lab import SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.broker_lab import BrokerLab

CLOUD = f"https://127.0.0.1:{CLOUD_PORT}"
CONFIG_FILE = "/etc/eliot-broker/broker.toml"
PLACES = "/etc/credstore.encrypted /etc/eliot-broker /var/lib/eliot-broker"
SECRETS = (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY)
DIALOGUE = (
    ("name for the account", ""),
    ("how does it log in", ""),
    ("client id", credentials.PARTNER_CLIENT_ID),
    ("client secret .*not shown", credentials.PARTNER_CLIENT_SECRET),
    ("redirect URI", credentials.REDIRECT_URI),
    ("subscription key .*not shown", credentials.SUBSCRIPTION_KEY),
    ("name for the ticket", ""),
    ("plant id", credentials.PLANT_ID),
    ("device id", credentials.DEVICE_ID),
    ("anything unusual", "y"),
    ("authority", CLOUD),
    ("CA certificate", "/srv/cloud/ca.pem"),
    ("address of the API", f"{CLOUD}/vdeproducts/v1.0"),
    ("seal the secrets with systemd-creds", ""),
)


@pytest.fixture
def bare(lab: BrokerLab) -> Iterator[BrokerLab]:
    """The broker is installed; no unit, no configuration, no login, no secret. What was there comes back."""
    lab.sh(f"systemctl disable --now {SERVICE} eliot-broker.socket; rm -rf /srv/kept; mkdir /srv/kept")
    lab.sh(f"cp -a --parents {PLACES} /srv/kept; rm -rf {PLACES}; eliot-broker units --uninstall")
    yield lab
    lab.sh(f"systemctl stop {SERVICE} eliot-broker.socket; rm -rf {PLACES}; cp -a /srv/kept/. /")
    lab.sh("eliot-broker units --install --yes; systemctl start eliot-broker.socket")


def test_setup_as_root_seals_installs_starts_logs_in_and_has_a_ticket(bare: BrokerLab) -> None:
    with bare.screen("exec eliot-broker setup") as screen:
        screen.answer(*DIALOGUE, ("install and start the systemd service", ""), ("log in to home now", ""))
        url = screen.until(r"(?m)^(https://\S+)$")[1]
        screen.until("or paste here")
        screen.say(bare.agent(f"browse /srv/cloud '{url}'").strip())
        screen.until("it works: a ticket for front-door is in hand")
        assert screen.end() == 0, screen.shown
    said = screen.shown
    assert "credential:home-client-secret" in bare.sh(f"cat {CONFIG_FILE}")
    for secret in SECRETS:
        assert secret not in said
        bare.sh(f"grep -raF {secret} {PLACES}", status=1)
    assert bare.show(SERVICE, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    bare.sh(f"systemctl restart {SERVICE}; eliot-broker ticket front-door | grep -q ^ey")
    refuse_to_be_replaced(bare)


def refuse_to_be_replaced(lab: BrokerLab) -> None:
    """A second setup: "no" keeps the file byte for byte; "yes", and "no" to the secrets, keeps what is sealed."""
    digest = f"sha256sum {CONFIG_FILE} /etc/credstore.encrypted/*"
    before = lab.sh(digest)
    with lab.screen("exec eliot-broker setup") as screen:
        screen.answer(("is there already. Replace it", "n"))
        screen.until("nothing was changed")
        assert screen.end() == 0
    assert lab.sh(digest) == before
    with lab.screen("exec eliot-broker setup") as screen:
        screen.answer(("is there already. Replace it", "y"), *DIALOGUE)
        screen.answer(*(("is sealed already. Replace it", "n") for _ in SECRETS), ("log in to home now", "n"))
        screen.until("later: eliot-broker login home")
        assert screen.end() == 0
    assert lab.sh(digest) == before
