"""The file operations that the state directory is made of, and what their failures mean in words.

Knows nothing of what it writes. The one invariant: each operation is one step that either happened or raised OSError,
so that a test can let any one of them fail or be the last.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HINTS = {
    errno.ENOENT: "there is nothing at that path: is it the right one?",
    errno.ENOSPC: "free some space on that file system",
    errno.EDQUOT: "raise the quota or free some space",
    errno.EACCES: "give the directory and its files to the broker's own user, mode 0700 and 0600",
    errno.EPERM: "give the directory and its files to the broker's own user, mode 0700 and 0600",
    errno.EROFS: "mount the file system read-write",
    errno.EIO: "the disk itself fails: look into the kernel's log",
}
LOOK = "look at that file and its directory: the broker's own user must be able to read and write them"


class RealDisk:
    """ports.Disk over the operating system."""

    def read(self, path: Path) -> bytes:
        """Raises OSError for what is no ordinary file: nobody's pipe or device holds us up, or fills our memory."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("it is no ordinary file")
            return file.read()

    def create(self, path: Path, content: bytes) -> None:
        """Raises FileExistsError rather than write into what is there, or through a symbolic link."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, content, 0)
        finally:
            os.close(descriptor)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _write_all(descriptor, content, offset)
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe there holds nobody up
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def listdir(self, path: Path) -> list[str]:
        return sorted(os.listdir(path))  # noqa: PTH208  # names, not paths

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write until all is written: a nearly full disk may take only a part at a time."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def in_words(error: OSError) -> str:
    """An OSError for people, without paths: `no space left on device (ENOSPC)`."""
    if error.errno is None:
        return str(error).lower() or type(error).__name__
    return f"{os.strerror(error.errno).lower()} ({errno.errorcode.get(error.errno, error.errno)})"


@contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Turn an OSError within into StoreUnavailable: `what` says what was being done, with what."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{what}: {in_words(error)}", hint=HINTS.get(error.errno or 0, LOOK)) from error
