"""`setup` as root on a machine without a service: what it seals, installs and starts is the service, and a ticket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import credentials
from tests.system.broker_lab import CLOUD_PORT
from tests.system.lab import SERVICE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.system.broker_lab import BrokerLab

CLOUD = f"https://127.0.0.1:{CLOUD_PORT}"
CONFIG_FILE = "/etc/eliot-broker/broker.toml"
PLACES = "/etc/credstore.encrypted /etc/eliot-broker /var/lib/eliot-broker"
SECRETS = (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY)
ANSWERS = (
    *("", "", credentials.PARTNER_CLIENT_ID, credentials.PARTNER_CLIENT_SECRET, credentials.REDIRECT_URI),
    *(credentials.SUBSCRIPTION_KEY, "", credentials.PLANT_ID, credentials.DEVICE_ID),
    *("y", CLOUD, "/srv/cloud/ca.pem", f"{CLOUD}/vdeproducts/v1.0"),
    *("", "", ""),  # seal the secrets, install and start the service, log in
)


@pytest.fixture
def bare(lab: BrokerLab) -> Iterator[BrokerLab]:
    """The broker is installed; no unit, no configuration, no login, no secret. What was there comes back."""
    lab.sh(f"systemctl disable --now {SERVICE} eliot-broker.socket; rm -rf /srv/kept; mkdir /srv/kept")
    lab.sh(f"cp -a --parents {PLACES} /srv/kept; rm -rf {PLACES}; eliot-broker units --uninstall")
    yield lab
    lab.sh(f"systemctl stop {SERVICE} eliot-broker.socket; rm -rf {PLACES}; cp -a /srv/kept/. /")
    lab.sh("eliot-broker units --install --yes; systemctl start eliot-broker.socket")


def read_until(dialogue: subprocess.Popen[str], pattern: str) -> str:
    """What it says until a line matches."""
    assert dialogue.stdout is not None
    seen = ""
    for line in dialogue.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"it ended without {pattern}:\n{seen}")


def test_setup_as_root_seals_installs_starts_logs_in_and_has_a_ticket(bare: BrokerLab) -> None:
    talk = bare.popen("PYTHONUNBUFFERED=1 timeout 240 eliot-broker setup 2>&1")
    assert talk.stdin is not None
    talk.stdin.write("".join(f"{line}\n" for line in ANSWERS))
    talk.stdin.flush()
    said = read_until(talk, r"^https://\S+$")
    landed = bare.agent(f"browse /srv/cloud '{said.splitlines()[-1]}'")
    said += talk.communicate(landed, timeout=240)[0]
    assert talk.returncode == 0, said
    assert "it works: a ticket for front-door is in hand" in said
    assert "credential:home-client-secret" in bare.sh(f"cat {CONFIG_FILE}")
    for secret in SECRETS:
        assert secret not in said
        bare.sh(f"grep -raF {secret} {PLACES}", status=1)
    assert bare.show(SERVICE, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    bare.sh(f"systemctl restart {SERVICE}; eliot-broker ticket front-door | grep -q ^ey")
