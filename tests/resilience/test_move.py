"""The sealed state under another key, and a login on its way to another machine: the command and real brokers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.resilience.home import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.resilience.home import Home


def command(home: Home, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`eliot-broker state …` as the operator runs it."""
    argv = [sys.executable, "-m", "broker", "state", *words, "--config", str(home.directory / "broker.toml")]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def run(home: Home, *words: str, stdin: str = "") -> None:
    done = command(home, *words, stdin=stdin)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_state_is_sealed_under_another_key(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        assert command(home, "rekey").returncode != 0, "not under a living broker"
        broker.stop()
    key = home.directory / "state" / "state.key"
    before, sealed = key.read_text(), (home.directory / "state" / "account-home.sealed").read_bytes()
    run(home, "rekey")
    assert key.read_text() != before
    assert (home.directory / "state" / "account-home.sealed").read_bytes() != sealed
    with home.broker() as broker:
        broker.refresh()


@pytest.mark.slow
def test_a_login_is_moved_to_another_machine(home: Home, tmp_path: Path) -> None:
    bundle = tmp_path / "home.bundle"
    with home.broker() as broker:
        broker.login()
        broker.stop()
    run(home, "export", "home", str(bundle), stdin="a passphrase of some length\n")
    with home.broker() as broker:  # the old machine has it no more
        assert broker.account["state"] == "logged_out"
        broker.stop()
    (home.directory / "state").rename(home.directory / "state-of-the-old-machine")
    assert command(home, "import", str(bundle), stdin="another\n").returncode != 0
    run(home, "import", str(bundle), stdin="a passphrase of some length\n")
    assert not bundle.exists(), "moved, not copied"
    with home.broker() as broker:
        assert broker.account["state"] == "logged_in"
        broker.refresh()
