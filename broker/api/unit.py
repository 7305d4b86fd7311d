"""Which systemd unit a process belongs to, read from its control group.

Linux only; no HTTP. The one invariant: no answer means no unit, never a wrong one: every reading is tied to the very
process that connected, by a pidfd (SO_PEERPIDFD, kernel 6.5) or, without one, by start time and uid; there a process
of the same user that took over the pid between connect() and accept() cannot be told from the one that connected.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SO_PEERPIDFD = 77
PIDFD_GET_INFO = 0xC040FF0B  # linux/pidfd.h, kernel 6.13: _IOWR(0xFF, 11, 64 bytes)
PIDFD_INFO_CGROUPID = 1 << 2
INFO_FORMAT = "=QQ" + "I" * 12  # mask, cgroupid, pid, tgid, ppid, six ids and two spares
UNIT_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_TIME_FIELD = 19  # field 22 of /proc/PID/stat, less pid and name, counted from 0 (proc(5))


def unit_of_cgroup(path: str | None) -> str | None:
    """The first component from the root that is no slice, where it is a unit; anyone may have named what is below."""
    for component in (path or "").strip("/").split("/"):
        if not component.endswith(".slice"):
            return component if component.endswith(UNIT_SUFFIXES) else None
    return None


def cgroup_id(pidfd: int) -> int | None:
    """The inode of the control group (version 2) of a process; None where the kernel does not tell."""
    request = struct.pack(INFO_FORMAT, PIDFD_INFO_CGROUPID, *([0] * 13))
    try:
        answer = fcntl.ioctl(pidfd, PIDFD_GET_INFO, request)
    except OSError:
        return None
    mask, group_id = struct.unpack_from("=QQ", answer)
    return int(group_id) if mask & PIDFD_INFO_CGROUPID else None


@dataclass(frozen=True, slots=True)
class UnitFinder:
    """Finds units in `proc` and `cgroup_root`. Reads files: call it off the loop."""

    proc: Path = Path("/proc")
    cgroup_root: Path = Path("/sys/fs/cgroup")
    cgroup_id: Callable[[int], int | None] = cgroup_id

    def of_peer(
        self, connection: socket.socket, pid: int | None, uid: int, seen_boot_seconds: float = math.inf
    ) -> str | None:
        """The unit of the process that opened this connection, which was there at `seen_boot_seconds` at the latest."""
        try:
            pidfd = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
        except OSError as error:
            if pid is None or error.errno != errno.ENOPROTOOPT:  # the process is gone: its number may be another's
                return None
            return self.by_start_time(pid, uid, seen_boot_seconds)
        try:
            return self.by_pidfd(pidfd, pid)
        finally:
            os.close(pidfd)

    def by_pidfd(self, pidfd: int, pid: int | None) -> str | None:
        """The unit of the process behind a pidfd; `pid` is its number here, None where this namespace has none."""
        cgroup = self._cgroup(pid) if pid is not None else None
        group_id = self.cgroup_id(pidfd) if self._unified() else None
        if group_id is None:
            alive = not select.select([pidfd], [], [], 0)[0]
            return unit_of_cgroup(cgroup) if alive else None
        if cgroup is not None and _inode(self.cgroup_root / cgroup.lstrip("/")) == group_id:
            return unit_of_cgroup(cgroup)
        return unit_of_cgroup(self._search(group_id))

    def by_start_time(self, pid: int, uid: int, seen_boot_seconds: float = math.inf) -> str | None:
        """The unit of process `pid`, believed only where it began before it was seen and stayed the same meanwhile."""
        before = self._start_time(pid)
        cgroup = self._cgroup(pid)
        if before is None or before > seen_boot_seconds:
            return None
        if self._effective_uid(pid) != uid or self._start_time(pid) != before:
            return None
        return unit_of_cgroup(cgroup)

    def _unified(self) -> bool:
        """Whether the root is the one hierarchy of version 2: inodes of others would be mistaken for its ids."""
        return (self.cgroup_root / "cgroup.controllers").exists()

    def _search(self, group_id: int) -> str | None:
        """The path of the control group with this inode, for where /proc is hidden (ProtectProc=)."""
        for directory, _, _ in os.walk(self.cgroup_root):
            if _inode(Path(directory)) == group_id:
                return "/" + str(Path(directory).relative_to(self.cgroup_root))
        return None

    def _cgroup(self, pid: int) -> str | None:
        """The path in the unified hierarchy, or in systemd's own on a machine of version 1 (cgroups(7))."""
        paths = {}
        for line in self._read(pid, "cgroup").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            paths[controllers] = path
        unified = paths.get("")
        return paths.get("name=systemd", unified) if unified in {None, "/"} else unified

    def _start_time(self, pid: int) -> float | None:
        """Seconds of the boot clock. The name in parentheses may hold anything, so count from its last one."""
        fields = self._read(pid, "stat").rpartition(")")[2].split()
        try:
            return int(fields[START_TIME_FIELD]) / TICKS_PER_SECOND
        except (IndexError, ValueError):
            return None

    def _effective_uid(self, pid: int) -> int | None:
        for line in self._read(pid, "status").splitlines():
            if line.startswith("Uid:"):
                with suppress(IndexError, ValueError):
                    return int(line.split()[2])
        return None

    def _read(self, pid: int, name: str) -> str:
        """A file of a process, empty where it cannot be read: gone, or hidden from us."""
        try:
            return (self.proc / str(pid) / name).read_text("utf-8", "surrogateescape")
        except OSError:
            return ""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except (OSError, ValueError):
        return None
