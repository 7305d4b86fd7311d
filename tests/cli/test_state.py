"""`state` over a real directory: what it leaves opens under the new key, a login moves and is never copied."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from broker.adapters.disk import RealDisk
from broker.adapters.lock import StateLock
from broker.adapters.state_key import StateKey, open_key_file
from broker.adapters.store import SealedStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

KEY = "k" * 40
CONTENT = b"the login of home"


class Place:
    """A configuration with a state directory that holds one login, sealed under `state.key`."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "state"
        self.root = root
        self.config = root / "broker.toml"
        self.configure()
        self.store(open_key_file(self.directory, RealDisk())).save("account-home", CONTENT)

    def configure(self, key: str = "") -> None:
        key_line = f'key = "{key}"\n' if key else ""
        self.config.write_text(f'[state]\ndirectory = "{self.directory}"\n{key_line}')

    def store(self, key: StateKey) -> SealedStore:
        store = SealedStore(self.directory, RealDisk(), key)
        store.prepare()
        return store

    def of_file(self) -> SealedStore:
        return self.store(open_key_file(self.directory, RealDisk()))


@pytest.fixture
def place(tmp_path: Path, command: Command) -> Place:
    made = Place(tmp_path)
    command.environment["ELIOT_BROKER_CONFIG"] = str(made.config)
    return made


def test_rekey_makes_a_new_key_file(command: Command, place: Place) -> None:
    before = (place.directory / "state.key").read_text()
    assert command("state", "rekey") == 0
    assert command.err.startswith("sealed 1 document anew, key ")
    assert (place.directory / "state.key").read_text() != before
    assert place.of_file().load("account-home") == CONTENT


def test_rekey_moves_from_the_key_file_to_a_configured_key_and_back(command: Command, place: Place) -> None:
    command.environment["STATE_KEY"] = KEY
    place.configure("env:STATE_KEY")
    assert command("state", "rekey") == 0
    assert place.store(StateKey(KEY.encode(), "test")).load("account-home") == CONTENT
    place.configure()
    assert command("state", "rekey", "--old-key", "env:STATE_KEY") == 0
    assert place.of_file().load("account-home") == CONTENT


@pytest.mark.parametrize("reference", ["env:NOT_SET", KEY, "file:/nowhere"])
def test_an_old_key_that_cannot_be_read_touches_nothing(command: Command, place: Place, reference: str) -> None:
    assert command("state", "rekey", "--old-key", reference) == 2
    assert command.err.startswith("error: --old-key: ")
    assert KEY not in command.err
    assert place.of_file().load("account-home") == CONTENT


@pytest.mark.slow
def test_a_login_is_moved_out_and_in_again(command: Command, place: Place) -> None:
    bundle = place.root / "home.bundle"
    command.on_terminal(tty=False).stdin.write("correct horse\n")
    command.terminal.stdin.seek(0)
    assert command("state", "export", "home", str(bundle)) == 0
    assert place.of_file().load("account-home") is None
    command.terminal.stdin.seek(0)
    assert command("state", "import", str(bundle)) == 0
    assert "warning: no account home is configured" in command.err
    assert place.of_file().load("account-home") == CONTENT
    assert not bundle.exists()


@pytest.mark.slow
def test_a_bundle_behind_a_link_is_moved_too_and_not_copied(command: Command, place: Place) -> None:
    bundle, link = place.root / "home.bundle", place.root / "link"
    command.on_terminal(tty=False).stdin.write("correct horse\n")
    command.terminal.stdin.seek(0)
    assert command("state", "export", "home", str(bundle)) == 0
    link.symlink_to(bundle)
    command.terminal.stdin.seek(0)
    assert command("state", "import", str(link)) == 0
    assert place.of_file().load("account-home") == CONTENT
    assert not bundle.exists()


def test_a_pipe_in_place_of_the_bundle_is_refused_and_the_login_stays(command: Command, place: Place) -> None:
    os.mkfifo(place.root / "home.bundle")
    command.on_terminal(tty=False).stdin.write("correct horse\n")
    command.terminal.stdin.seek(0)
    assert command("state", "export", "home", str(place.root / "home.bundle")) != 0
    assert place.of_file().load("account-home") == CONTENT


def test_no_passphrase_moves_nothing(command: Command, place: Place) -> None:
    assert command("state", "export", "home", str(place.root / "home.bundle")) == 2
    assert place.of_file().load("account-home") == CONTENT


def test_a_running_daemon_is_left_alone(command: Command, place: Place) -> None:
    with StateLock(place.directory):
        assert command("state", "rekey") == 5
    assert f"error: state directory {place.directory} is in use by " in command.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_state_is_refused(command: Command, place: Place) -> None:
    os.chown(place.directory, 12345, 12345)
    assert command("state", "rekey") == 6
    assert "sudo -u '#12345'" in command.err


@pytest.mark.parametrize("words", [["export"], ["export", "home"], ["import"], ["import", "a", "b"]], ids=" ".join)
def test_what_is_missing_is_said(command: Command, place: Place, words: list[str]) -> None:
    assert command("state", *words) == 2
    assert "needs a" in command.err
