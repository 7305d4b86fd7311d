"""Published ticket files, on the real file system."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from broker.adapters.published import PublishedFiles
from broker.config import PublishConfig
from broker.core.secret import Secret
from broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def publisher(path: Path, *, mode: int = 0o640, group: str | None = None, line: str = "{ticket}") -> PublishedFiles:
    return PublishedFiles({"front-door": PublishConfig(path, mode, group, line)})


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tickets" / "front-door.jwt"


def test_the_ticket_is_there_with_its_mode_and_nothing_else(path: Path) -> None:
    publisher(path).publish("front-door", Secret("eyJ1"))
    assert path.read_text() == "eyJ1"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.parent.stat().st_mode & 0o7777 == 0o755
    assert names_in(path.parent) == ["front-door.jwt"]


def test_the_format_is_filled_in(path: Path) -> None:
    publisher(path, line='{"Authorization": "{ticket}"}\n').publish("front-door", Secret("eyJ1"))
    assert path.read_text() == '{"Authorization": "eyJ1"}\n'


def test_a_reader_that_holds_the_old_file_keeps_it_whole(path: Path) -> None:
    files = publisher(path)
    files.publish("front-door", Secret("old"))
    with path.open() as reader:
        files.publish("front-door", Secret("newer and longer"))
        assert reader.read() == "old"
    assert path.read_text() == "newer and longer"


@needs_root
def test_the_group_is_the_configured_one(path: Path) -> None:
    publisher(path, group="12345").publish("front-door", Secret("eyJ1"))
    assert path.stat().st_gid == 12345


def test_a_group_that_is_not_there_is_said_and_leaves_nothing(path: Path) -> None:
    files = publisher(path, group="no-such-group")
    with pytest.raises(StoreUnavailable, match="no group no-such-group"):
        files.publish("front-door", Secret("eyJ1"))
    assert names_in(path.parent) == []


def test_a_directory_that_everybody_may_write_to_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(StoreUnavailable, match="writable by everybody"):
        publisher(path).publish("front-door", Secret("eyJ1"))
    path.parent.chmod(0o1777)
    publisher(path).publish("front-door", Secret("eyJ1"))


@needs_root
def test_a_directory_that_a_group_may_write_to_is_refused_unless_each_may_only_touch_its_own(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 0, 12345)
    path.parent.chmod(0o2770)
    with pytest.raises(StoreUnavailable, match="writable by group 12345"):
        publisher(path).publish("front-door", Secret("eyJ1"))
    assert names_in(path.parent) == []
    for mode in (0o2750, 0o3770):
        path.parent.chmod(mode)
        publisher(path).publish("front-door", Secret("eyJ1"))


def test_a_file_with_a_format_is_read_by_a_shell_and_so_by_environment_file(path: Path) -> None:
    publisher(path, line="TICKET={ticket}\n").publish("front-door", Secret("eyJ.a-b_c.d"))
    read = subprocess.run(
        ["/bin/sh", "-c", f'. "{path}"; printf %s "$TICKET"'], capture_output=True, text=True, check=True
    )
    assert read.stdout == "eyJ.a-b_c.d"


@needs_root
def test_a_directory_of_another_user_is_refused(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(StoreUnavailable, match="belongs to user 12345"):
        publisher(path).publish("front-door", Secret("eyJ1"))
    assert names_in(path.parent) == []


def test_a_planted_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    (path.parent / ".front-door.jwt.eliot-broker.tmp").symlink_to(victim)
    publisher(path).publish("front-door", Secret("eyJ1"))
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_a_failure_leaves_no_secret_behind(path: Path) -> None:
    path.mkdir(parents=True)  # a directory in the file's place: the rename fails, the last step
    with pytest.raises(StoreUnavailable, match="ticket front-door not published"):
        publisher(path).publish("front-door", Secret("eyJ1"))
    assert names_in(path.parent) == ["front-door.jwt"]


def test_withdrawing_removes_the_file_and_what_a_crash_left(path: Path) -> None:
    files = publisher(path)
    files.publish("front-door", Secret("eyJ1"))
    (path.parent / ".front-door.jwt.eliot-broker.tmp").write_text("eyJ0")
    files.withdraw("front-door")
    files.withdraw("front-door")
    files.publish("unpublished", Secret("eyJ1"))
    files.withdraw("unpublished")
    assert names_in(path.parent) == []


def test_files_that_are_named_no_more_are_removed_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    stuck, fine, kept = (PublishConfig(tmp_path / name) for name in ("stuck", "fine", "kept"))
    stuck.path.mkdir()
    files = PublishedFiles({"a": stuck, "b": fine, "c": kept})
    for name in "bc":
        files.publish(name, Secret("eyJ1"))
    failures = files.retarget({"c": kept})
    assert {name: str(error) for name, error in failures.items()}.keys() == {"a"}
    assert "ticket a not withdrawn" in str(failures["a"])
    assert sorted(names_in(tmp_path)) == ["kept", "stuck"]


def test_a_publish_under_way_leaves_no_file_that_is_named_no_more(path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        for _ in range(200):
            files = publisher(path)
            under_way = thread.submit(files.publish, "front-door", Secret("eyJ1"))
            files.retarget({})
            under_way.result()
            assert not path.exists()
