"""Which systemd unit a process belongs to, read from its control group.

Linux only; no HTTP. The one invariant: no answer means no unit, never a wrong one: every reading is tied to the very
process that connected, by a pidfd (SO_PEERPIDFD, kernel 6.5) or, without one, by start time and uid.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from contextlib import suppress
from pathlib import Path

SO_PEERPIDFD = 77
PIDFD_GET_INFO = 0xC040FF0B  # linux/pidfd.h, kernel 6.13: _IOWR(0xFF, 11, 64 bytes)
PIDFD_INFO_CGROUPID = 1 << 2
INFO_FORMAT = "=QQ" + "I" * 12  # mask, cgroupid, pid, tgid, ppid, six ids and two spares
UNIT_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")
CGROUP_ROOT = Path("/sys/fs/cgroup")


def unit_of_peer(connection: socket.socket, pid: int | None, uid: int) -> str | None:
    """The unit of the process that opened this connection. Reads /proc and /sys: call it off the loop."""
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:  # an older kernel, or the process is gone
        return None if pid is None else unit_by_start_time(pid, uid)
    try:
        return unit_by_pidfd(pidfd, pid)
    finally:
        os.close(pidfd)


def unit_by_pidfd(pidfd: int, pid: int | None) -> str | None:
    """The unit of the process behind a pidfd; `pid` is its number here, None where this namespace has none."""
    cgroup = _read_cgroup(pid) if pid is not None else None
    group_id = _cgroup_id(pidfd)
    if group_id is None:
        alive = not select.select([pidfd], [], [], 0)[0]
        return unit_of_cgroup(cgroup) if cgroup is not None and alive else None
    if cgroup is not None and _inode(CGROUP_ROOT / cgroup.lstrip("/")) == group_id:
        return unit_of_cgroup(cgroup)
    return unit_of_cgroup(_find_cgroup(group_id))


def unit_by_start_time(pid: int, uid: int) -> str | None:
    """The unit of process `pid`, believed only where start time and uid say that it stayed the same process."""
    before = _start_time(pid)
    cgroup = _read_cgroup(pid)
    if before is None or cgroup is None or _effective_uid(pid) != uid or _start_time(pid) != before:
        return None
    return unit_of_cgroup(cgroup)


def unit_of_cgroup(path: str | None) -> str | None:
    """The first component from the root that is no slice, where it is a unit; anyone may have named what is below."""
    for component in (path or "").strip("/").split("/"):
        if not component.endswith(".slice"):
            return component if component.endswith(UNIT_SUFFIXES) else None
    return None


def _cgroup_id(pidfd: int) -> int | None:
    """The inode of the process' control group; None where the kernel does not tell."""
    request = struct.pack(INFO_FORMAT, PIDFD_INFO_CGROUPID, *([0] * 13))
    try:
        answer = fcntl.ioctl(pidfd, PIDFD_GET_INFO, request)
    except OSError:
        return None
    mask, group_id = struct.unpack_from("=QQ", answer)
    return group_id if mask & PIDFD_INFO_CGROUPID else None


def _find_cgroup(group_id: int) -> str | None:
    """The path of the control group with this inode, for where /proc is hidden (ProtectProc=)."""
    for directory, _, _ in os.walk(CGROUP_ROOT):
        if _inode(Path(directory)) == group_id:
            return "/" + str(Path(directory).relative_to(CGROUP_ROOT))
    return None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except (OSError, ValueError):
        return None


def _read_cgroup(pid: int) -> str | None:
    """The path in the unified hierarchy, or in systemd's own where there is no other (cgroups(7))."""
    lines = (_read(pid, "cgroup") or "").splitlines()
    for prefix in ("0::", "1:name=systemd:"):
        for line in lines:
            if line.startswith(prefix):
                return line.removeprefix(prefix)
    return None


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat; the name before it may hold anything, so count from its last parenthesis."""
    fields = (_read(pid, "stat") or "").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else None  # noqa: PLR2004  # 22, less pid and name, counted from 0


def _effective_uid(pid: int) -> int | None:
    for line in (_read(pid, "status") or "").splitlines():
        if line.startswith("Uid:"):
            with suppress(IndexError, ValueError):
                return int(line.split()[2])
    return None


def _read(pid: int, name: str) -> str | None:
    try:
        return Path(f"/proc/{pid}/{name}").read_text("utf-8", "surrogateescape")
    except OSError:
        return None
