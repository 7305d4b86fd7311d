"""The disk full, read-only, failing, forbidden; its files under another key, newer, damaged, restored."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from broker.adapters.disk import RealDisk
from broker.adapters.state_key import open_key_file
from broker.adapters.store import SealedStore
from broker.client import Problem
from tests.resilience.home import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.resilience.home import Broker, Home

SHORT = {"id_token_seconds": 4}
FAILURES = {
    "ENOSPC overwrite *": "no space left on device",
    "EROFS write *": "read-only file system",
    "EIO sync *": "input/output error",
    "EACCES overwrite *": "permission denied",
}
ACCOUNT_FILE = "account-home.sealed"


def failing(home: Home) -> dict[str, str]:
    return {"kind": "failing", "plan": str(home.plan)}


def told_of_the_state(broker: Broker) -> list[str]:
    """What status says is wrong with the state."""
    return [row["detail"] for row in broker.client.status()["problems"] if row["code"] == "state_unavailable"]


def problem_of(broker: Broker, action: str) -> Problem:
    try:
        broker.client.login("home") if action == "login" else broker.client.refresh("home")
    except Problem as problem:
        return problem
    raise AssertionError(f"{action} was not refused")


@pytest.mark.slow
@pytest.mark.parametrize("plan", FAILURES)
@pytest.mark.parametrize("home", [SHORT], indirect=True)
def test_the_disk_refuses_every_write(home: Home, plan: str) -> None:
    with home.broker(failing(home)) as broker:
        broker.login()
        asked = home.token_requests
        home.plan.write_text(plan)
        assert problem_of(broker, "refresh").code == "state_unavailable"
        assert home.token_requests == asked, "with the intent unwritable, and a token in hand, nobody is asked"
        assert any(FAILURES[plan] in detail for detail in told_of_the_state(broker))
        assert broker.account["state"] == "logged_in"
        until(lambda: home.token_requests > asked, seconds=30, what="no refresh although the id token is gone")
        until(lambda: broker.account["unsaved"], seconds=30)
        assert broker.client.id_token("home", wait=5).value
        home.plan.unlink()
        until(lambda: not broker.account["unsaved"] and not told_of_the_state(broker), seconds=60)
        broker.kill()
    with home.broker() as broker:
        broker.refresh()
    assert len([event for event in home.events("store.unavailable") if event["document"] == "account-home"]) == 1
    assert len([event for event in home.events("store.recovered") if event["document"] == "account-home"]) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", place], check=False, stderr=-3)
    if done.returncode:
        pytest.skip("cannot run here: no right to mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> None:
    with (disk / "other-peoples-data").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


@pytest.mark.slow
def test_the_disk_is_full(home: Home, small_disk: Path) -> None:
    with home.broker() as broker:
        broker.login()
        with pytest.raises(OSError, match="space"):
            fill(small_disk)
        row = broker.refresh()
        assert row["unsaved"] is False
        session = home.session()
        broker.kill()
    assert session is not None
    with home.broker() as broker:
        assert broker.account["state"] == "logged_in"
        broker.refresh()
    assert home.session() is not None


@pytest.mark.slow
def test_the_state_key_is_wrong(home: Home) -> None:
    state = home.directory / "state"
    with home.broker() as broker:
        broker.login()
        broker.stop()
    sealed, key = (state / ACCOUNT_FILE).read_bytes(), (state / "state.key").read_text()
    (state / "state.key").write_text("0" * 64)
    with home.broker() as broker:
        row = broker.account
        assert (row["state"], row["code"], row["remedy"]) == ("config_error", "state_unavailable", "fix")
        assert "sealed with key" in row["detail"]
        assert row["hint"]
        for action in ("login", "refresh"):
            assert problem_of(broker, action).code == "state_unavailable"
        broker.stop()
    assert (state / ACCOUNT_FILE).read_bytes() == sealed
    (state / "state.key").write_text(key)
    with home.broker() as broker:
        broker.refresh()


@pytest.mark.slow
def test_the_state_key_is_missing(home: Home) -> None:
    state = home.directory / "state"
    with home.broker() as broker:
        broker.login()
        broker.stop()
    key = (state / "state.key").read_text()
    (state / "state.key").unlink()
    with home.broker(up=False) as broker:
        assert broker.wait() == 1
    assert "state.key is missing" in home.log()
    assert not (state / "state.key").exists()
    (state / "state.key").write_text(key)
    with home.broker() as broker:
        broker.refresh()


@pytest.mark.slow
def test_the_state_was_written_by_a_newer_version(home: Home) -> None:
    state, disk = home.directory / "state", RealDisk()
    with home.broker() as broker:
        broker.login()
        broker.stop()
    good = (state / ACCOUNT_FILE).read_bytes()
    store = SealedStore(state, disk, open_key_file(state, disk))
    content = json.loads(store.load("account-home") or b"{}")
    store.save("account-home", json.dumps({**content, "version": 2}).encode())
    newer = (state / ACCOUNT_FILE).read_bytes()
    with home.broker() as broker:
        row = broker.account
        assert (row["state"], row["code"]) == ("config_error", "state_unavailable")
        assert "newer" in row["detail"]
        assert problem_of(broker, "login").code == "state_unavailable"
        assert (state / ACCOUNT_FILE).read_bytes() == newer
        restored = state / "restored"
        restored.write_bytes(good)
        restored.replace(state / ACCOUNT_FILE)  # whole at once: the broker looks at it every few seconds
        until(
            lambda: broker.account["state"] == "logged_in", seconds=30, what=lambda: str(broker.account)
        )  # no restart
        broker.refresh()


@pytest.mark.slow
def test_both_copies_of_a_login_are_damaged(home: Home) -> None:
    state = home.directory / "state"
    with home.broker() as broker:
        broker.login()
        broker.stop()
    size = (state / ACCOUNT_FILE).stat().st_size
    (state / ACCOUNT_FILE).write_bytes(b"\xff" * size)
    with home.broker() as broker:
        row = broker.account
        assert (row["state"], row["code"], row["remedy"]) == ("login_required", "login_required", "login")
        assert f"set aside as {ACCOUNT_FILE}.damaged-1" in row["detail"]
        assert (state / f"{ACCOUNT_FILE}.damaged-1").read_bytes() == b"\xff" * size
        broker.login()
        assert broker.account["state"] == "logged_in"


@pytest.mark.slow
def test_one_copy_of_a_login_is_damaged(home: Home) -> None:
    path = home.directory / "state" / ACCOUNT_FILE
    with home.broker() as broker:
        broker.login()
        broker.refresh()
        broker.stop()
    raw = bytearray(path.read_bytes())
    session = home.session()
    for half in (0, len(raw) // 2):
        damaged = bytearray(raw)
        damaged[half + 40 : half + 80] = bytes(40)
        path.write_bytes(damaged)
        with home.broker() as broker:
            assert broker.account["state"] == "logged_in"
            broker.refresh()
    assert session is not None


@pytest.mark.slow
@pytest.mark.parametrize("home", [{"rotation": "lenient"}, {"rotation": "strict"}], indirect=True, ids=str)
def test_an_old_backup_of_the_state_is_restored(home: Home) -> None:
    path = home.directory / "state" / ACCOUNT_FILE
    backup = home.directory / "backup"
    with home.broker() as broker:
        broker.login()
        shutil.copy(path, backup)
        for _ in range(3):
            broker.refresh()
        broker.client.ticket("front-door", wait=30)
        broker.stop()
    shutil.copy(backup, path)
    with home.broker() as broker:
        until(lambda: bool(home.events("login.restored")), seconds=30)
        problem = broker.problem_of_refresh()
        if home.cloud.options.rotation == "lenient":
            assert problem is None
            return
        assert problem is not None
        assert problem.code == "login_required"
        assert "older copy" in str(problem.detail)
        assert problem.hint
