"""README's chapter on the service, typed word for word into a fresh systemd; only the person's part is played."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import credentials
from tests.system.broker_lab import CHECKOUT, CLOUD_PORT, CLOUD_UNIT, HERE, offline
from tests.system.lab import SDLAB, Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HEADING = "## As a systemd service\n"
PLACE = "cd /srv/wheels/source; "
CLOUD = f"https://127.0.0.1:{CLOUD_PORT}"
OWN = {
    "client_id": f'"{credentials.PARTNER_CLIENT_ID}"\nauthority = "{CLOUD}"\nca_file = "/srv/cloud/ca.pem"',
    "subscription_key": f'"credential:home-subscription-key"\nbase_url = "{CLOUD}/vdeproducts/v1.0"',
    "plant_id": f'"{credentials.PLANT_ID}"',
    "device_id": f'"{credentials.DEVICE_ID}"',
}
SECRETS = {
    "home-client-secret": credentials.PARTNER_CLIENT_SECRET,
    "home-subscription-key": credentials.SUBSCRIPTION_KEY,
}


def chapter() -> list[str]:
    """The chapter's shell blocks."""
    text = (CHECKOUT / "README.md").read_text().partition(HEADING)[2]
    return re.findall(r"^```sh\n(.*?)^```$", re.split(r"^## ", text, flags=re.MULTILINE)[0], re.MULTILINE | re.DOTALL)


@pytest.fixture
def fresh(wheels: Path) -> Iterator[Lab]:
    """A machine with a checkout and a cloud that it can reach."""
    lab = Lab("eliot-readme", (f"{wheels}:/srv/wheels", f"{HERE}:/srv/lab"), environment=offline("/srv/wheels"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


def read_until(keyboard: int, prompt: str | None) -> str:
    """What the screen shows until it asks this; None: until the end."""
    seen = ""
    while prompt is None or prompt not in seen:
        try:
            piece = os.read(keyboard, 4096).decode()
        except OSError:  # nobody has the terminal any more
            piece = ""
        if not piece:
            assert prompt is None, f"never asked for {prompt}: {seen}"
            break
        seen += piece
    return seen


class Owner:
    """The person at the keyboard: knows the ids, the secrets and a browser."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def edit(self, _block: str) -> None:
        """Put in the ids, and the stand-in cloud for the real one."""
        self._lab.write("/etc/systemd/system/cloud.service", CLOUD_UNIT)
        self._lab.sh("mkdir -p /srv/cloud; systemctl start cloud.service")
        lines = self._lab.sh("cat /etc/eliot-broker/broker.toml").splitlines()
        keys = [line.partition("=")[0].strip() for line in lines]
        own = [f"{key} = {OWN[key]}" if key in OWN else line for key, line in zip(keys, lines, strict=True)]
        self._lab.write("/etc/eliot-broker/broker.toml", "\n".join(own))

    def type_secrets(self, block: str) -> None:
        """Answer the prompts, in the order in which broker.toml names them."""
        keyboard, screen = pty.openpty()
        words: list[str | Path] = [
            SDLAB,
            "exec",
            "-n",
            self._lab.name,
            "--",
            "setsid",
            "-c",
            "-w",
            "bash",
            "-euc",
            PLACE + block,
        ]
        asking = subprocess.Popen(words, stdin=screen, stdout=screen, stderr=screen, cwd="/")
        os.close(screen)
        seen = ""
        for prompt, typed in SECRETS.items():
            seen += read_until(keyboard, f"{prompt}: ")
            os.write(keyboard, f"{typed}\n".encode())
        seen += read_until(keyboard, None)
        os.close(keyboard)
        assert asking.wait(120) == 0, seen
        assert seen.count("protected by this host's key") == 1 + len(SECRETS)
        assert not [typed for typed in SECRETS.values() if typed in seen], "typed without echo"

    def log_in(self, block: str) -> None:
        """Open the URL that it prints, and paste the address of the redirect."""
        command = self._lab.popen(PLACE + block)
        assert command.stdin is not None
        assert command.stdout is not None
        url = command.stdout.readline().strip()
        landed = self._lab.agent(f"browse /srv/cloud '{url}'")
        command.communicate(landed, timeout=120)
        assert command.returncode == 0


MAN_PAGE = "/usr/local/share/man/man1/eliot-broker.1"


def test_the_chapter_holds_to_the_letter(fresh: Lab) -> None:
    owner = Owner(fresh)
    parts: dict[str, Callable[[str], None]] = {
        "editor ": owner.edit,
        "eliot-broker credentials\n": owner.type_secrets,
        "eliot-broker login ": owner.log_in,
    }
    blocks = chapter()
    assert len(blocks) == 11
    told = []
    for block in blocks:
        part = next((play for begin, play in parts.items() if block.startswith(begin)), None)
        if block.startswith("eliot-broker wait"):
            fresh.sh(f"grep -q '^.TH' {MAN_PAGE}")
        told.append("" if part is not None else fresh.sh(PLACE + block))
        if part is not None:
            part(block)
    asked = next(said for said, block in zip(told, blocks, strict=True) if "eliot-broker ticket" in block)
    assert asked.startswith("ey")
    assert "Active: active (running)" in asked
    left = fresh.sh(
        "ls -d /etc/systemd/system/eliot-broker* /usr/local/bin/eliot-broker "
        f"{MAN_PAGE} /opt/eliot-broker/* 2>&1 || true"
    )
    assert "No such file" in left
    assert not [line for line in left.splitlines() if "cannot access" not in line]
    fresh.sh("test -e /var/lib/eliot-broker/account-home.sealed; test -e /etc/eliot-broker/broker.toml")
