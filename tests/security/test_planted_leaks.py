"""The canary test can fail: a leak planted in a copy of the broker is heard, each in its place."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest

from broker.sandbox import CloudThread, Options
from tests.e2e.daemon import ROOT
from tests.security.mishaps import everything_fails
from tests.security.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.soak


class Leak(NamedTuple):
    """What is changed in which file, and what is heard where."""

    file: str
    changes: Mapping[str, str]
    heard: str


SECRET = "core/secret.py"
LEAKS = {
    "repr": Leak(
        SECRET, {'f"<secret {self.fingerprint}>"': 'f"<secret {self._value}>"'}, "refresh token in confession"
    ),
    "format": Leak(SECRET, {"format(repr(self), spec)": "format(self._value, spec)"}, "refresh token in confession"),
    "pickle": Leak(SECRET, {"(str, (repr(self),))": "(str, (self._value,))"}, "refresh token in confession"),
    "a dataclass with a plain string": Leak(
        "core/tokens.py",
        {"authorization_url: str = field(repr=False)": "authorization_url: str = field()"},
        "state in confession",
    ),
    "an f-string in the log": Leak(
        "installation.py",
        {"file=config.file,": 'file=f"{next(iter(config.accounts.values())).api.subscription_key.value.reveal()}",'},
        "subscription key in stderr.log",
    ),
    "the text of an error": Leak(
        "core/redirect.py",
        {
            'its state is not that of the pending login"': 'its state is not {pending.state.reveal()}"',
            '("login response: its': '(f"login response: its',
        },
        "state in answers and commands",
    ),
    "a sealed file that is not": Leak(
        "adapters/sealing.py",
        {"key.aead.encrypt(header[-16:-4], content, _associated(header, name))": "content + bytes(16)"},
        "refresh token in state/",
    ),
    "a variable left in the environment": Leak(
        "adapters/process.py", {"ctypes.memset(at, 0, len(entry))": "pass"}, "client secret in /proc/PID/environ"
    ),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=list(LEAKS))
def test_a_planted_leak_is_heard(tmp_path: Path, leak: Leak) -> None:
    package, directory = tmp_path / "package", tmp_path / "world"
    shutil.copytree(ROOT / "broker", package / "broker")
    directory.mkdir()
    file = package / "broker" / leak.file
    text = file.read_text()
    for right, wrong in leak.changes.items():
        assert right in text, "the planting fits the code of today"
        text = text.replace(right, wrong)
    file.write_text(text)
    with CloudThread(Options()) as cloud:
        world = World(directory, cloud, "debug", package)
        with world.daemon as daemon:
            everything_fails(world, "gateway")
            daemon.stop(signal.SIGTERM)
        found = world.canaries.found_in(world.heard())
    assert any(each.startswith(leak.heard) for each in found), found
