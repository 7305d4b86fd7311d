"""One broker per state directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.adapters.lock import StateLock
from broker.errors import AlreadyRunning, Code, Remedy, StoreUnavailable

HOLD = """
import sys
from pathlib import Path
from broker.adapters.lock import StateLock
StateLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_is_told_which_process_holds_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        command = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        with pytest.raises(AlreadyRunning, match=rf"is in use by process {holder.pid} \({command}\)") as caught:
            StateLock(tmp_path).acquire()
        assert (caught.value.code, caught.value.remedy) == (Code.STATE_UNAVAILABLE, Remedy.FIX)
        holder.kill()
    with StateLock(tmp_path):  # it ended with its process
        pass


def test_it_can_be_taken_again_after_its_release(tmp_path: Path) -> None:
    for _ in range(2):
        with StateLock(tmp_path), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            StateLock(tmp_path).acquire()
    assert (tmp_path / "lock").exists()


def test_a_pid_that_meanwhile_is_another_process_is_not_blamed(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        (tmp_path / "lock").write_text(f"{os.getpid()} 1\n")
        with pytest.raises(AlreadyRunning, match="in use by another process"):
            StateLock(tmp_path).acquire()


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()
    script = "print('up', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"  # past its exec, where close-on-exec has done its work
        lock.release()
        with StateLock(tmp_path):
            pass
        child.kill()


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="state lock"):
        StateLock(tmp_path / "file" / "state").acquire()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused_before_anything_is_written_there(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(StoreUnavailable, match="belongs to user 12345") as caught:
        StateLock(tmp_path).acquire()
    assert caught.value.hint == f"chown -R 0 {tmp_path}"
    assert list(tmp_path.iterdir()) == []
