"""`setup` at a real terminal, as an ordinary user: every question answered against the stand-in cloud; ctrl-C; "no"."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, credentials, follow_login
from tests.e2e.daemon import ROOT
from tests.e2e.ports import free_port
from tests.operate.command import run
from tests.operate.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow

SECRETS = (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY)
ORDINARY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]  # root's files, and not root
CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


class Person:
    """Somebody with a home directory, who is not root."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.becomes = ORDINARY if os.geteuid() == 0 else []
        self.config = home / ".config" / "eliot-broker" / "broker.toml"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(ROOT),
        }
        (home / "run").mkdir(mode=0o700)

    def setup(self) -> Screen:
        """`eliot-broker setup`, just typed."""
        command = [sys.executable, "-m", "broker", "setup"]
        return Screen([*self.becomes, *command], environ=self.environ, cwd=self.home)

    @property
    def files(self) -> dict[str, bytes]:
        """Everything in the directory of the configuration."""
        folder = self.config.parent
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture
def person() -> Iterator[Person]:
    with tempfile.TemporaryDirectory(prefix="person-") as name:
        made = Person(Path(name))
        if subprocess.run([*made.becomes, "true"], capture_output=True, check=False).returncode:
            pytest.skip("cannot run here: no user namespaces, so root cannot play an ordinary user")
        yield made


def questions(cloud: Cloud, redirect_uri: str) -> list[tuple[str, str]]:
    """Each question and its answer, one of them wrong at first."""
    cloud.options.applications[credentials.PARTNER_CLIENT_ID].redirect_uris.add(redirect_uri)
    return [
        ("name for the account", "my home"),
        ("letters, digits.*\n.*name for the account", ""),
        ("3\\).*\n.*how does it log in", "7"),
        ("a number from 1 to 3\n", "1"),
        ("client id", credentials.PARTNER_CLIENT_ID),
        ("client secret \\(not shown\\)", credentials.PARTNER_CLIENT_SECRET),
        ("redirect URI", redirect_uri),
        ("subscription key .*\\(not shown\\)", credentials.SUBSCRIPTION_KEY),
        ("name for the ticket", ""),
        ("plant id", ""),
        ("anything unusual", "perhaps"),
        ("y or n\nanything unusual", "y"),
        ("authority", cloud.partner_authority),
        ("CA certificate", str(cloud.ca_file)),
        ("address of the API", cloud.api_base_url),
    ]


def test_every_question_is_answered_and_a_ticket_comes_of_it(cloud: Cloud, person: Person) -> None:
    with person.setup() as screen:
        screen.answer(*questions(cloud, f"http://localhost:{free_port()}/callback"))
        screen.answer(("start a broker now", ""), ("log in to home now", ""))
        url = screen.until(r"(?m)^(https://\S+)$")[1]
        screen.until("or paste here")
        screen.say(follow_login(url, cloud.ca_file))
        screen.answer((f"Sandbox home.*{credentials.DEVICE_ID}[^?]*which door", "9"), ("a number from 1 to", "1"))
        screen.until("it works: a ticket for front-door is in hand")
        assert screen.end() == 0, screen.shown
    written = tomllib.loads(person.config.read_text())
    assert written["tickets"]["front-door"]["plant_id"] == credentials.PLANT_ID
    assert [secret for secret in SECRETS if secret in screen.shown + person.config.read_text()] == []
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in person.config.parent.iterdir()}
    assert modes == {"broker.toml": 0o644, "home-client-secret": 0o600, "home-subscription-key": 0o600}
    assert (person.home / ".local/state/eliot-broker/state.key").exists()
    assert run("config", "check", environ=person.environ).returncode == 0


@pytest.mark.parametrize("answered", [0, 1, 5, 7, 14])
def test_ctrl_c_at_a_question_leaves_nothing_behind(cloud: Cloud, person: Person, answered: int) -> None:
    dialogue = questions(cloud, credentials.REDIRECT_URI)
    with person.setup() as screen:
        screen.answer(*dialogue[:answered])
        screen.until(dialogue[answered][0])
        screen.press(CTRL_C)
        screen.until("error: interrupted; nothing was written")
        assert screen.end() == 130
    assert person.files == {}


def test_ctrl_c_once_it_is_written_says_so_and_a_second_setup_goes_on(cloud: Cloud, person: Person) -> None:
    dialogue = questions(cloud, credentials.REDIRECT_URI)
    with person.setup() as screen:
        screen.answer(*dialogue)
        screen.until("start a broker now")
        screen.press(CTRL_C)
        screen.until("is written and stays; by hand: eliot-broker serve")
        assert screen.end() == 130
    kept = person.files
    assert sorted(kept) == ["broker.toml", "home-client-secret", "home-subscription-key"]
    with person.setup() as screen:  # "no" keeps it byte for byte, and no other question is asked
        screen.answer(("is there already. Replace it", ""))
        screen.until("was left as it is; nothing was changed")
        assert screen.end() == 0
    assert person.files == kept
    with person.setup() as screen:
        screen.answer(("is there already. Replace it", "y"), *dialogue, ("start a broker now", "n"))
        screen.until("by hand: eliot-broker serve")
        assert screen.end() == 0
    assert person.files == {**kept, "broker.toml.old": kept["broker.toml"]}, "the same secrets are not asked about"


def test_ctrl_d_at_a_secret_is_the_end_of_the_input(cloud: Cloud, person: Person) -> None:
    dialogue = questions(cloud, credentials.REDIRECT_URI)
    with person.setup() as screen:
        screen.answer(*dialogue[:5])
        screen.until(dialogue[5][0])
        screen.press(CTRL_D)
        screen.until("error: the input ended before everything was answered")
        assert screen.end() == 2
    assert person.files == {}
