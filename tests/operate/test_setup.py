"""`setup` as a process, answered like a person would: from nothing to a ticket on the stand-in cloud."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
import tomllib
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, credentials, follow_login
from tests.e2e.daemon import ROOT
from tests.e2e.ports import free_port
from tests.operate.command import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


def home(directory: Path) -> dict[str, str]:
    for name in ("run", "state", "config"):
        (directory / name).mkdir(mode=0o700)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "XDG_STATE_HOME": str(directory / "state"),
        "XDG_CONFIG_HOME": str(directory / "config"),
    }


def answers(cloud: Cloud, redirect_uri: str, plant_id: str = "") -> list[str]:
    cloud.options.applications[credentials.PARTNER_CLIENT_ID].redirect_uris.add(redirect_uri)
    given = ["", "", credentials.PARTNER_CLIENT_ID, credentials.PARTNER_CLIENT_SECRET, redirect_uri]
    given += [credentials.SUBSCRIPTION_KEY, "", plant_id, *([credentials.DEVICE_ID] if plant_id else [])]
    return [*given, "y", cloud.partner_authority, str(cloud.ca_file), cloud.api_base_url]


class Dialogue:
    """A `setup` under way: `until` reads what it says, `say` answers."""

    def __init__(self, config: Path, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "broker", "setup", "--config", str(config)],
            env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        )  # fmt: skip
        self.said = ""
        self._watchdog = threading.Timer(240, self.process.kill)
        self._watchdog.start()

    def say(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    def until(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        while not (found := re.search(pattern, self.said)):
            part = os.read(self.process.stdout.fileno(), 4096)
            assert part, self.said
            self.said += part.decode()
        return found

    def end(self) -> int:
        try:
            rest = self.process.communicate()[0] or b""
            self.said += rest.decode()
            return self.process.returncode
        finally:
            self._watchdog.cancel()


@pytest.mark.parametrize("redirect", ["http://localhost:{port}/callback", credentials.CUSTOM_SCHEME_REDIRECT_URI])
def test_from_nothing_to_a_ticket(cloud: Cloud, tmp_path: Path, redirect: str) -> None:
    config = tmp_path / "broker.toml"
    redirect_uri = redirect.format(port=free_port())
    talk = Dialogue(config, home(tmp_path))
    talk.say(*answers(cloud, redirect_uri))
    talk.until("start a broker now")
    talk.say("", "")
    url = talk.until(r"(?m)^(https://\S+)$")[1]
    talk.say(follow_login(url, cloud.ca_file))
    talk.until("which door")
    talk.say("1")
    assert talk.end() == 0, talk.said
    assert "it works: a ticket for front-door is in hand" in talk.said
    written = tomllib.loads(config.read_text())
    assert written["tickets"]["front-door"]["plant_id"] == credentials.PLANT_ID
    for secret in (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY):
        assert secret not in config.read_text() + talk.said
    for name in ("home-client-secret", "home-subscription-key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert run("config", "check", "--config", str(config), environ=home_again(tmp_path)).returncode == 0


def home_again(directory: Path) -> dict[str, str]:
    return {"HOME": str(directory), "XDG_STATE_HOME": str(directory / "state")}


def test_a_file_that_is_there_is_replaced_only_after_a_yes_and_kept_beside(cloud: Cloud, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text("# mine\n")
    environ = home(tmp_path)
    given = answers(cloud, credentials.REDIRECT_URI, credentials.PLANT_ID)
    found = run("setup", "--config", str(config), given="\n", environ=environ)
    assert (found.returncode, config.read_text()) == (0, "# mine\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker.toml", "config", "run", "state"]
    found = run("setup", "--config", str(config), given="\n".join(["y", *given, "n", ""]), environ=environ)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "broker.toml.old").read_text() == "# mine\n"
    assert "eliot-broker login" in found.stderr


def test_an_answer_that_no_configuration_could_hold_is_asked_for_again_at_once(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    given = ["home", "1", "an-id", "a secret", "nowhere", "http://localhost:8400/callback", "a key", "", "not-an-id"]
    found = run("setup", "--config", str(config), given="\n".join([*given, ""]), environ=home(tmp_path))
    assert found.returncode == 2
    assert found.stderr.count("redirect URI, registered to the letter") == 2
    assert "  it is no absolute URI; write it exactly as it is registered with the application\n" in found.stderr
    assert found.stderr.count("plant id (empty") == 2
    assert not config.exists()


def test_an_input_that_ends_early_writes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    found = run("setup", "--config", str(config), given="home\n1\n", environ=home(tmp_path))
    assert (found.returncode, config.exists()) == (2, False)
    assert "error: the input ended before everything was answered" in found.stderr
