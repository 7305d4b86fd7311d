"""Every complaint of complaints.py, played on the sandbox to a real daemon; what a person reads is in a golden file."""

from __future__ import annotations

import re
import signal
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from broker.client import Problem
from broker.sandbox import SCENARIOS, CloudThread, Fault, Options, credentials
from broker.sandbox.changes import apply_change
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.waiting import until
from tests.golden import check, check_titles, log_in, normalised, say
from tests.operate.complaints import COMPLAINTS, SCENES, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.sandbox import Cloud

GOLDEN = Path(__file__).parent / "golden" / "complaints.txt"
HOOK = '[hooks]\ncommand = ["/bin/sh", "-c", "echo \\"$BROKER_EVENT: $BROKER_TEXT\\" >> {}/told"]\n'
OVER_SSH = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22", "USER": "ada"}


def configuration(cloud: Cloud, directory: Path) -> str:
    homes = "".join(
        account(cloud, directory, scene.name, api='timeout = "1s"')
        + ticket(f"door-{scene.name}", of=scene.name, more='warm = "on-demand"')
        for scene in SCENES
    )
    return homes + '[accounts.ending.oauth]\nsliding_window = "40h"\n' + HOOK.format(directory)


class Stage:
    """One cloud and one daemon for all scenes."""

    def __init__(self, cloud: Cloud, daemon: Daemon) -> None:
        self.cloud = cloud
        self.daemon = daemon

    def play(self, scene: Scene) -> str:
        """All that a person reads in this scene."""
        if not scene.stranger:
            self.daemon.login(self.cloud, scene.name)
        before = self.cloud.calls.count("call_in")
        try:
            said = "".join(self._do(scene, each) for each in scene.play)
            assert scene.calls in {None, self.cloud.calls.count("call_in") - before}
            return said + (self._told(scene) if scene.told else "")
        finally:
            self._calm()
            self.daemon.client.logout(scene.name)  # it tries no more by itself, into another scene's weather

    def hook_words(self) -> str:
        """All that the hook was told until now."""
        file = self.daemon.directory / "told"
        return file.read_text() if file.exists() else ""

    def _calm(self) -> None:
        """Fine weather again."""
        self.cloud.script.release()
        self.cloud.script.clear()
        self.cloud.replenish_quota()
        usual = Options()
        self.cloud.options.change(**{each.name: getattr(usual, each.name) for each in fields(usual)})

    def _do(self, scene: Scene, each: Any) -> str:
        if isinstance(each, tuple):
            self._change(scene, *each)
            return ""
        if each in {"kill", "damage"}:
            {"kill": self._kill, "damage": self._damage}[each](scene.name)
            return ""
        return normalised(self._type(each), DIR=self.daemon.directory)

    def _change(self, scene: Scene, action: str, values: dict[str, Any]) -> None:
        if action != "scenario":
            right = {"redirect_uris": [credentials.REDIRECT_URI]} if "redirect_uris" in values else values
            apply_change(self.cloud, action, right)
            return
        steps = SCENARIOS[values.get("name", scene.name)].steps
        struck = min(step.at_seconds for step in steps if step.at_seconds > 0)
        for step in steps:
            if step.at_seconds == struck:
                apply_change(self.cloud, step.action, step.values)

    def _type(self, line: str) -> str:
        words, nothing, _ = line.partition(" < /dev/null")
        if not words.startswith("login "):
            return say(*words.split(), socket=self.daemon.socket_path)
        ca_file = None if nothing else self.cloud.ca_file
        return log_in(*words.split(), ca_file=ca_file, socket=self.daemon.socket_path, environ=OVER_SSH)

    def _kill(self, name: str) -> None:
        """The daemon is killed when the cloud has made the new refresh token and not yet sent it."""
        reached = threading.Event()
        self.cloud.script.add("token", Fault(hang="after_commit"))
        self.cloud.script.on("after_commit", lambda _call: reached.set())
        refresh = threading.Thread(target=self._refresh_in_vain, args=(name,))
        refresh.start()
        assert reached.wait(60)
        self.daemon.stop(signal.SIGKILL)
        refresh.join(60)
        self.cloud.script.release()
        self.daemon.start().wait_up()
        until(lambda: self._state(name) != "logged_in", seconds=60, what=self.daemon.log)

    def _state(self, name: str) -> object:
        return self.daemon.client.account(name)["state"]

    def _refresh_in_vain(self, name: str) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011 -- however a connection to a killed process ends
            self.daemon.client.refresh(name)

    def _damage(self, name: str) -> None:
        self.daemon.stop()
        for file in (self.daemon.directory / "state").glob(f"account-{name}*"):
            file.write_bytes(b"\0" * file.stat().st_size)
        self.daemon.start().wait_up()

    def _told(self, scene: Scene) -> str:
        """The line that the hook wrote for this scene's event."""

        def lines() -> list[str]:
            told = self.hook_words().splitlines()
            return [line for line in told if line.startswith(f"{scene.told}: ") and scene.name in line]

        until(lambda: bool(lines()), seconds=60, what=self.daemon.log)
        return normalised(f"-- told by the hook\n{lines()[0]}\n", DIR=self.daemon.directory)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("complaints")
    with CloudThread() as cloud, Daemon(directory, configuration(cloud, directory)) as daemon:
        yield Stage(cloud, daemon)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=[scene.title for scene in SCENES])
def test_a_complaint_is_answered_with_its_cause_and_its_remedy(stage: Stage, scene: Scene) -> None:
    check(GOLDEN, scene.title, stage.play(scene))
    written = stage.daemon.log() + stage.hook_words()
    for secret in (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY, "eyJ"):
        assert secret not in written


def test_every_complaint_has_a_scene_and_every_scene_its_golden_answer() -> None:
    assert {scene.row for scene in SCENES} == COMPLAINTS.keys()
    check_titles(GOLDEN, [scene.title for scene in SCENES])


CALLBACKS = [
    ("access_denied", "AADB2C90091: The user has cancelled.", "cancelled", "log in again and accept"),
    ("access_denied", "AADB2C90118: The user has forgotten their password.", "new password", "set a new password"),
    ("redirect_uri_mismatch", "AADB2C90006: Not registered.", "90006", "trailing slash included"),
    ("server_error", "AADB2C90035: Busy.", "could not do the login now", "in a few minutes"),
    ("invalid_request", "AADB2C90007: Wrong.", "refused the login", "check authority"),
    ("unauthorized_client", "", "refused the login", "may not use this grant"),
    ("\x1b[31m", "\x1b[2Jgone", "refused the login", "log in again"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("error", "description", "cause", "remedy"), CALLBACKS, ids=[row[2] for row in CALLBACKS])
def test_every_callback_error_is_explained_and_costs_nothing(
    stage: Stage, error: str, description: str, cause: str, remedy: str
) -> None:
    client = stage.daemon.client
    stage.daemon.login(stage.cloud, "cancelled")
    state = re.search(r"state=([^&]+)", client.login("cancelled")["authorization_url"])
    assert state
    query = urlencode({"error": error, "error_description": description})
    with pytest.raises(Problem, match=cause) as told:
        client.complete_login("cancelled", f"{credentials.REDIRECT_URI}?{query}&state={state[1]}")
    assert remedy in str(told.value.hint)
    assert told.value.detail.isprintable()
    assert client.account("cancelled")["state"] == "logged_in"
    client.logout("cancelled")
