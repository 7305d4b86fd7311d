"""One broker per state directory: an flock that ends with its process, and a word about who holds it.

The file's text (pid and start time) is for people; the lock itself decides. The one invariant: the file is never
removed, for then two could hold two locks of one name.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from broker.adapters.disk import unavailable
from broker.errors import AlreadyRunning, StoreUnavailable

if TYPE_CHECKING:
    from types import TracebackType

LOCK_FILE = "lock"


class StateLock:
    """Held from `acquire` to `release`, or to the end of the process; a context manager too. Not inherited."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting. Raises: AlreadyRunning, StoreUnavailable."""
        path = self._directory / LOCK_FILE
        with unavailable(f"state lock {path}"):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_anothers(self._directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(os.pread(descriptor, 100, 0))
                os.close(descriptor)
                raise AlreadyRunning(
                    f"state directory {self._directory} is in use by {holder}",
                    hint="stop that one first, or give this one a state directory of its own",
                ) from None
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            with suppress(OSError):  # a full disk takes no note; the lock holds all the same
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} {_start_time(os.getpid())}\n".encode(), 0)

    def release(self) -> None:
        """Let go; a lock not held is fine."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _refuse_anothers(directory: Path) -> None:
    owner, ours = directory.stat().st_uid, os.geteuid()
    if owner not in {0, ours}:
        raise StoreUnavailable(
            f"state directory {directory} belongs to user {owner}, who could swap files; nothing is kept there",
            hint=f"chown -R {ours} {directory}",
        )


def _holder(note: bytes) -> str:
    """Whom the note names, where that process still is the one that wrote it."""
    pid, _, started = note.decode("ascii", "replace").strip().partition(" ")
    if not pid.isdigit() or _start_time(int(pid)) != started:
        return "another process"
    return f"process {pid} ({_command(int(pid))})"


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the process's start: field 22 of /proc/PID/stat (proc(5)); with the pid it is unique."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "name unknown"
