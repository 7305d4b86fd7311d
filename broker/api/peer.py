"""Who is at the other end of a Unix connection: asked once, and only for what some rule needs.

uid, gid and pid are the kernel's word at connect time (SO_PEERCRED); names come from `names`, units from `unit`. The
one invariant: what cannot be found out is left empty, and so matches no rule.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct
import sys
import time
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING, Any

from broker.api.unit import UnitFinder
from broker.core.access import Peer

if TYPE_CHECKING:
    from broker.api.names import Names
    from broker.core.access import AccessPolicy

SO_PEERGROUPS = 59
UCRED = struct.Struct("=iII")
MAX_GROUPS = 256  # what getsockopt of Python takes (1024 bytes); more are asked of libc
MOST_GROUPS = 65536  # NGROUPS_MAX
NAMELESS: tuple[str | None, frozenset[str]] = (None, frozenset())
UNITS = UnitFinder()


def credentials(connection: socket.socket) -> tuple[int, int, int | None]:
    """uid, gid and pid of who called connect(); pid None: not of this pid namespace. Raises: OSError."""
    pid, uid, gid = UCRED.unpack(ask(connection, socket.SO_PEERCRED, UCRED.size))
    return uid, gid, pid or None


def ask(connection: Any, option: int, length: int) -> bytes:
    """The value of a socket option. Raises: OSError.

    uvloop's stand-in for a socket copies the descriptor at each call, which costs as much as the whole answer: there
    the descriptor is borrowed.
    """
    if isinstance(connection, (socket.socket, TransportSocket)):
        return bytes(connection.getsockopt(socket.SOL_SOCKET, option, length))
    borrowed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=connection.fileno())
    try:
        return borrowed.getsockopt(socket.SOL_SOCKET, option, length)
    finally:
        borrowed.detach()


def supplementary_groups(connection: socket.socket) -> frozenset[int]:
    """The supplementary group ids of who called connect(); empty where the kernel does not tell."""
    raw = raw_groups(connection)
    return frozenset(int.from_bytes(raw[i : i + 4], sys.byteorder) for i in range(0, len(raw), 4))


def raw_groups(connection: socket.socket) -> bytes:
    """The same as the kernel writes them: four bytes each."""
    try:
        return ask(connection, SO_PEERGROUPS, 4 * MAX_GROUPS)
    except OSError as error:
        return _many_groups(connection) if error.errno == errno.ERANGE else b""


def _many_groups(connection: socket.socket) -> bytes:
    length = ctypes.c_uint32(4 * MOST_GROUPS)
    raw = ctypes.create_string_buffer(length.value)
    answer = ctypes.CDLL(None).getsockopt(
        connection.fileno(), socket.SOL_SOCKET, SO_PEERGROUPS, raw, ctypes.byref(length)
    )
    return raw.raw[: length.value] if answer == 0 else b""


class Identity:
    """One connection's peer: ids at once, the rest when a policy that needs it is first applied."""

    __slots__ = ("_names", "_peer", "_policy", "_seen_boot_seconds", "_socket", "gid", "pid", "uid")

    def __init__(self, connection: socket.socket, names: Names) -> None:
        self.uid, self.gid, self.pid = credentials(connection)
        self._socket = connection
        self._seen_boot_seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._names = names
        self._peer: Peer | None = None
        self._policy: AccessPolicy | None = None

    @property
    def bare_peer(self) -> Peer:
        """The peer by its ids alone."""
        return Peer(uid=self.uid, gid=self.gid, pid=self.pid)

    def known(self, policy: AccessPolicy) -> Peer | None:
        """The peer as far as `policy` needs it, where nothing has to be waited for."""
        if policy is self._policy:
            return self._peer
        if policy.needs_unit:
            return None
        groups = self._groups(policy)
        names = self._names.remembered(self.uid, {self.gid, *groups}) if policy.needs_names else NAMELESS
        return None if names is None else self._found(policy, groups, names, None)

    def credentials(self, policy: AccessPolicy) -> tuple[int, int, int | None, bytes]:
        """What the kernel says of the peer, as far as `policy` needs it."""
        return self.uid, self.gid, self.pid, raw_groups(self._socket) if policy.needs_groups else b""

    async def resolve(self, policy: AccessPolicy) -> Peer:
        """The peer as far as `policy` needs it; what blocks runs in threads, and names have a deadline."""
        peer = self.known(policy)
        if peer is not None:
            return peer
        groups = self._groups(policy)
        unit = await self._unit() if policy.needs_unit else None
        names = await self._names.of(self.uid, {self.gid, *groups}) if policy.needs_names else NAMELESS
        if names is None:  # the system did not answer in time: for this request there are none
            return Peer(self.uid, self.gid, self.pid, groups=groups, unit=unit)
        return self._found(policy, groups, names, unit)

    def _found(
        self,
        policy: AccessPolicy,
        groups: frozenset[int],
        names: tuple[str | None, frozenset[str]],
        unit: str | None,
    ) -> Peer:
        self._peer = Peer(self.uid, self.gid, self.pid, groups, user=names[0], group_names=names[1], unit=unit)
        self._policy = policy
        return self._peer

    def _groups(self, policy: AccessPolicy) -> frozenset[int]:
        return supplementary_groups(self._socket) if policy.needs_groups else frozenset()

    async def _unit(self) -> str | None:
        """Asked of a copy of the socket: the connection may close, and its number be another's, meanwhile."""
        try:
            copy = self._socket.dup()
        except OSError:  # closed already
            return None
        with copy:
            return await asyncio.to_thread(UNITS.of_peer, copy, self.pid, self.uid, self._seen_boot_seconds)
