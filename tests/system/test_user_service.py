"""A service of a user's own, under the user's own manager: installed, logged in, asked, restarted, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.sandbox import credentials
from tests.system.broker_lab import CONFIG
from tests.system.lab import AGENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.broker_lab import BrokerLab

SECRETS = {
    "home-client-secret": credentials.PARTNER_CLIENT_SECRET,
    "home-subscription-key": credentials.SUBSCRIPTION_KEY,
}


class User:
    """Somebody with a user manager, who may do nothing that root may."""

    def __init__(self, lab: BrokerLab, name: str) -> None:
        self._lab = lab
        lab.sh(f"id -u {name} >/dev/null 2>&1 || useradd -m {name}")
        lab.sh(
            "rm -f /etc/systemd/system/systemd-logind.service; systemctl daemon-reload; "
            f"systemctl start systemd-logind; loginctl enable-linger {name}; systemctl start user@$(id -u {name})"
        )
        self._name = name

    def sh(self, script: str, stdin: str = "") -> str:
        """Run a script in the user's environment."""
        runtime = f"export HOME=/home/{self._name} XDG_RUNTIME_DIR=/run/user/$(id -u); "
        return self._lab.sh(
            runtime + "export ELIOT_BROKER_SOCKET=$XDG_RUNTIME_DIR/eliot-broker/broker.sock; cd ~; " + script,
            user=self._name,
            stdin=stdin,
        )


@pytest.fixture
def user(lab: BrokerLab) -> Iterator[User]:
    """A user without the system's own configuration, which would be found first."""
    lab.sh("mv /etc/eliot-broker/broker.toml /srv/kept.toml")
    yield User(lab, "dora")
    lab.sh(
        "loginctl disable-linger dora; systemctl stop user@$(id -u dora); "
        "mv /srv/kept.toml /etc/eliot-broker/broker.toml"
    )


def test_a_service_of_a_user_logs_in_vends_outlives_a_kill_and_goes(user: User) -> None:
    config = CONFIG.replace('key = "credential:state-key"', "")
    for name, secret in SECRETS.items():
        config = config.replace(f"credential:{name}", f"file:/home/dora/{name}")
        user.sh(f"umask 077; cat > {name}", stdin=secret)
    user.sh("mkdir -p .config/eliot-broker; cat > .config/eliot-broker/broker.toml", stdin=config)
    user.sh("eliot-broker units --user --install --yes; systemctl --user daemon-reload")
    user.sh("systemctl --user start eliot-broker.socket eliot-broker.service")
    user.sh(f"{AGENT} login /srv/cloud $ELIOT_BROKER_SOCKET")
    assert user.sh("eliot-broker ticket front-door --wait 60").startswith("ey")
    assert user.sh("stat -c '%U %a' $ELIOT_BROKER_SOCKET").split() == ["dora", "600"]
    user.sh("systemctl --user kill -s KILL eliot-broker.service")
    assert user.sh("eliot-broker ticket front-door --wait 60").startswith("ey")
    user.sh("systemctl --user restart eliot-broker.service")
    assert user.sh("eliot-broker ticket front-door --wait 60").startswith("ey")
    user.sh("systemctl --user stop eliot-broker.service eliot-broker.socket; eliot-broker units --user --uninstall")
    assert user.sh("ls .config/systemd/user | grep eliot || true") == ""
