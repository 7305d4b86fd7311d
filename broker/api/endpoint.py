"""The listening socket: bound by us, once and with the right mode, or given by systemd.

Knows no HTTP. The one invariant: the socket of a living broker is never taken away, and what we did not bind we
do not unlink.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from broker.config import SocketConfig

BACKLOG = 1024
MAX_PATH_BYTES = 107  # sun_path of unix(7), less its end


class SocketInUse(BrokerError):
    """Another process listens there; `serve` refuses to start (exit code 1)."""


@dataclass(slots=True)
class Endpoint:
    """A listening socket; `path` None: given to us. `inode` and `lock_fd` are what makes it ours."""

    socket: socket.socket
    path: Path | None = None
    inode: tuple[int, int] | None = None
    lock_fd: int | None = None

    def release(self) -> None:
        """Unlink the file where it is still the one we bound, close the socket, drop the lock. May be called twice."""
        if self.path is not None and self.inode is not None and _inode(self.path) == self.inode:
            with suppress(OSError):
                self.path.unlink()
        self.inode = None
        self.socket.close()
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None


def adopt_socket(descriptor: int) -> Endpoint:
    """Take a listening Unix stream socket that systemd opened. Raises: ConfigError."""
    try:
        given = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"descriptor {descriptor} from the service manager is no socket: {error.strerror}") from None
    listening = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if given.family != socket.AF_UNIX or given.type != socket.SOCK_STREAM or not listening:
        given.close()
        raise ConfigError(
            f"descriptor {descriptor} from the service manager is no listening Unix stream socket",
            hint="the socket unit needs ListenStream= with a path",
        )
    given.setblocking(False)
    return Endpoint(given)


def bind_socket(config: SocketConfig) -> Endpoint:
    """Bind and listen on `config.path`. Raises: SocketInUse, ConfigError."""
    path = config.path
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigError(f"[socket] path: {path} is longer than {MAX_PATH_BYTES} bytes", hint="choose a shorter path")
    group_id = None if config.group is None else _group_id(config.group)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _refuse_unsafe(path.parent)
        lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        _lock(lock_fd, path)
        _remove_stale(path)
        listening = _bind(path, config.mode, group_id)
    except BaseException:
        os.close(lock_fd)
        raise
    return Endpoint(listening, path=path, inode=_inode(path), lock_fd=lock_fd)


def _refuse_unsafe(directory: Path) -> None:
    """Where others may rename files, anybody could listen in our place: clients would take the word of a stranger."""
    found = directory.stat()
    if found.st_uid not in {0, os.geteuid()}:
        why = f"belongs to user {found.st_uid}, who could put another socket there"
    elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        why = "is writable by everybody, who could put another socket there"
    else:
        return
    raise ConfigError(
        f"[socket] path: directory {directory} {why}",
        hint="a directory of root's or of the broker's own user; chmod o-w",
    )


def _lock(lock_fd: int, path: Path) -> None:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(path) from None


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on; anything else at that path is not ours to remove."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal(path, error) from None
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"[socket] path: {path} is there and is no socket", hint="remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(os.fspath(path))
    if answer not in {errno.ECONNREFUSED, errno.ENOENT}:  # EAGAIN: alive, with a full backlog
        raise _in_use(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(path, error) from None


def _bind(path: Path, mode: int, group_id: int | None) -> socket.socket:
    """Bind with nobody let in, then set group and mode, then listen: no moment at which the wrong one gets in."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(path))
        finally:
            os.umask(before)
        if group_id is not None:
            os.chown(path, -1, group_id, follow_symlinks=False)
        path.chmod(mode)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _refusal(path, error) from None
    return listening


def _group_id(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"[socket] group: there is no group {name}", hint=f"create it: groupadd --system {name}"
        ) from None


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _in_use(path: Path) -> SocketInUse:
    return SocketInUse(
        f"another process listens on {path}; this one does not start",
        hint="is a broker running already? systemctl status eliot-broker",
    )


def _refusal(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"[socket] path: {path} cannot be made: {error.strerror}",
        hint="the broker's user must be able to write there, and be in the group",
    )
