"""One contract for the real disk and the faulty one; what only the real one can show beside it."""

from __future__ import annotations

import errno
import os
import random
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.adapters.disk import RealDisk, in_words, unavailable
from broker.errors import Remedy, StoreUnavailable
from tests.adapters.faulty_disk import FaultyDisk

if TYPE_CHECKING:
    from broker.ports import Disk


@pytest.fixture(params=["real", "faulty"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    disk: Disk = RealDisk() if request.param == "real" else FaultyDisk(random.Random(0))
    disk.make_directory(tmp_path / "state")
    return disk


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_what_is_created_is_read_back(disk: Disk, state: Path) -> None:
    disk.create(state / "a", b"hello")
    disk.sync(state / "a")
    disk.sync(state)
    assert disk.read(state / "a") == b"hello"
    assert disk.listdir(state) == ["a"]


def test_create_never_writes_into_what_is_there(disk: Disk, state: Path) -> None:
    disk.create(state / "a", b"hello")
    with pytest.raises(FileExistsError):
        disk.create(state / "a", b"other")
    assert disk.read(state / "a") == b"hello"


def test_overwrite_changes_the_bytes_at_its_offset_only(disk: Disk, state: Path) -> None:
    disk.create(state / "a", b"0123456789")
    disk.overwrite(state / "a", 4, b"xy")
    assert disk.read(state / "a") == b"0123xy6789"


def test_overwrite_makes_no_file(disk: Disk, state: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.overwrite(state / "a", 0, b"x")
    assert disk.listdir(state) == []


def test_rename_replaces_its_target(disk: Disk, state: Path) -> None:
    disk.create(state / "a", b"new")
    disk.create(state / "b", b"old")
    disk.rename(state / "a", state / "b")
    assert disk.listdir(state) == ["b"]
    assert disk.read(state / "b") == b"new"


def test_link_gives_a_second_name_and_replaces_nothing(disk: Disk, state: Path) -> None:
    disk.create(state / "a", b"one")
    disk.link(state / "a", state / "b")
    disk.unlink(state / "a")
    assert disk.read(state / "b") == b"one"
    disk.create(state / "a", b"two")
    with pytest.raises(FileExistsError):
        disk.link(state / "a", state / "b")


@pytest.mark.parametrize("operation", ["read", "sync", "unlink"])
def test_a_missing_file_is_file_not_found(disk: Disk, state: Path, operation: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(disk, operation)(state / "nothing")


def test_a_missing_directory_is_file_not_found(disk: Disk, state: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.listdir(state / "nothing")


def test_files_are_0600_and_the_directory_0700_whatever_they_were(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    disk = RealDisk()
    disk.make_directory(tmp_path / "state")
    disk.create(tmp_path / "state" / "a", b"x")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "a").stat().st_mode) == 0o600


def test_a_symbolic_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        RealDisk().overwrite(tmp_path / "a", 0, b"x")
    with pytest.raises(FileExistsError):
        RealDisk().create(tmp_path / "a", b"x")


def test_a_full_disk_says_so_with_what_to_do() -> None:
    told = r"^saving x: no space left on device \(ENOSPC\)$"
    with pytest.raises(StoreUnavailable, match=told) as caught, unavailable("saving x"):
        raise OSError(errno.ENOSPC, "…", "/secret/path")
    assert caught.value.hint == "free some space on that file system"
    assert caught.value.remedy is Remedy.FIX


def test_dev_full_is_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space") as caught:
        RealDisk().overwrite(Path("/dev/full"), 0, b"x")
    assert in_words(caught.value) == "no space left on device (ENOSPC)"


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "pipe":  # opening one waits for whoever writes
        os.mkfifo(path)
    else:  # which never ends
        path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="no ordinary file"):
        RealDisk().read(path)
