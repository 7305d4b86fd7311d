"""Published ticket files: replaced whole or not at all, removed when told to.

Knows no ticket's life: who calls decides when. Everything happens relative to one open directory, so that a
directory swapped underneath gains nothing. The one invariant: a reader finds the whole new file, the whole old one,
or none; and a failure leaves no secret in a file that nobody knows of.
"""

from __future__ import annotations

import grp
import os
import stat
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from broker.adapters.disk import unavailable
from broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from broker.config import PublishConfig
    from broker.core.secret import Secret


class PublishedFiles:
    """ports.Publisher; `targets` are the `publish` tables by ticket name, and a ticket without one has no file."""

    def __init__(self, targets: Mapping[str, PublishConfig]) -> None:
        self._targets = dict(targets)
        self._left_over: list[tuple[str, PublishConfig]] = []  # named no more, and could not be removed
        self._lock = threading.Lock()  # nothing is published to a file after it was named no more

    def retarget(self, targets: Mapping[str, PublishConfig]) -> dict[str, StoreUnavailable]:
        """Publish to these files from now on and remove those named no more; what could not be removed, by name."""
        failures = {}
        with self._lock:
            before = [*self._left_over, *self._targets.items()]
            self._targets, self._left_over = dict(targets), []
            for name, target in before:
                if self._targets.get(name) != target:
                    try:
                        _remove(name, target)
                    except StoreUnavailable as failure:
                        failures[name] = failure
                        self._left_over.append((name, target))
        return failures

    def publish(self, name: str, ticket: Secret) -> None:
        with self._lock:
            target = self._targets.get(name)
            if target is None:
                return
            content = target.format.replace("{ticket}", ticket.reveal()).encode()
            with unavailable(f"ticket {name} not published to {target.path}"), _directory(target.path) as directory:
                _replace(directory, target, content)

    def withdraw(self, name: str) -> None:
        """Remove the file and what an interrupted publish left beside it. Raises: StoreUnavailable."""
        with self._lock:
            target = self._targets.get(name)
            if target is not None:
                _remove(name, target)


def _remove(name: str, target: PublishConfig) -> None:
    with unavailable(f"ticket {name} not withdrawn from {target.path}"):
        for path in (_draft(target.path), target.path):
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()


def _draft(path: Path) -> Path:
    """One fixed name beside the file, so that a left-over is found and overwritten by nobody else's."""
    return path.with_name(f".{path.name}.eliot-broker.tmp")


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """The open directory of `path`, made (0755) where only itself is missing, refused where others may plant files."""
    if not path.parent.exists():
        path.parent.mkdir()
        path.parent.chmod(0o755)  # whatever the umask; the file's own mode decides who reads it
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _refuse_unsafe(path.parent, os.fstat(directory))
        yield directory
    finally:
        os.close(directory)


def _refuse_unsafe(path: Path, found: os.stat_result) -> None:
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise StoreUnavailable(
            f"directory {path} is writable by everybody; nothing is published there", hint=f"chmod o-w {path}"
        )
    if found.st_mode & stat.S_IWGRP and found.st_gid != 0 and not found.st_mode & stat.S_ISVTX:
        raise StoreUnavailable(
            f"directory {path} is writable by group {found.st_gid}, who could swap files; nothing is published there",
            hint=f"chmod g-w {path}",
        )
    if found.st_uid not in {0, os.geteuid()}:
        raise StoreUnavailable(
            f"directory {path} belongs to user {found.st_uid}, who could swap files; nothing is published there",
            hint="give the directory to root or to the broker's own user",
        )


def _replace(directory: int, target: PublishConfig, content: bytes) -> None:
    draft = _draft(target.path).name
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, 0o600, dir_fd=directory)
    try:
        if target.group is not None:
            _give_to(descriptor, _group_id(target.group), target)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fchmod(descriptor, target.mode)
        os.fsync(descriptor)
        os.rename(draft, target.path.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
        with suppress(OSError):
            os.unlink(draft, dir_fd=directory)
        raise
    finally:
        os.close(descriptor)


def _give_to(descriptor: int, group_id: int, target: PublishConfig) -> None:
    """A set-group-id directory has done it already; the service's sandbox leaves no other way."""
    if os.fstat(descriptor).st_gid == group_id:
        return
    try:
        os.fchown(descriptor, -1, group_id)
    except PermissionError:
        raise StoreUnavailable(
            f"{target.path} cannot be given to group {target.group}; nothing was published",
            hint=f"a directory of that group does it: chgrp {target.group} {target.path.parent}; "
            f"chmod g+s {target.path.parent} (below /run/eliot-broker: eliot-broker units --install)",
        ) from None


def _group_id(group: str) -> int:
    """Looked up each time: the group may be made after us. A number stands for itself."""
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StoreUnavailable(f"there is no group {group}", hint="make the group, or correct `publish`") from None
