"""Who is at the other end of a Unix connection: asked once, and only for what some rule needs.

uid, gid and pid are the kernel's word at connect time (SO_PEERCRED); names come from pwd and grp, units from
`unit`. The one invariant: what cannot be found out is left empty, and so matches no rule.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
import socket
import struct
import sys
from typing import TYPE_CHECKING, Literal, TypeVar

from broker.api.unit import UnitFinder
from broker.core.access import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.core.access import AccessPolicy

SO_PEERGROUPS = 59
UCRED = struct.Struct("=iII")
MAX_GROUPS = 256  # getsockopt of Python takes 1024 bytes; a peer in more groups than that has none here
NAME_SECONDS = 60.0
MAX_NAMES = 4096
UNITS = UnitFinder()

T = TypeVar("T")


def credentials(connection: socket.socket) -> tuple[int, int, int | None]:
    """uid, gid and pid of who called connect(); pid None: not of this pid namespace. Raises: OSError."""
    pid, uid, gid = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return uid, gid, pid or None


def supplementary_groups(connection: socket.socket) -> frozenset[int]:
    """The supplementary group ids of who called connect(); empty where the kernel does not tell."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * MAX_GROUPS)
    except OSError:
        return frozenset()
    return frozenset(int.from_bytes(raw[i : i + 4], sys.byteorder) for i in range(0, len(raw), 4))


class Names:
    """User and group names, remembered for a minute: a lookup may go over the network (NSS). Call it off the loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: dict[tuple[str, int], tuple[float, str | None]] = {}

    def user(self, uid: int) -> str | None:
        """The name of a user; None where the system knows none."""
        return self._name("user", uid, lambda: pwd.getpwuid(uid).pw_name)

    def group(self, gid: int) -> str | None:
        """The name of a group; None where the system knows none."""
        return self._name("group", gid, lambda: grp.getgrgid(gid).gr_name)

    def knows(self, kind: Literal["user", "group"], number: int) -> bool:
        """Whether the name is remembered, so that asking for it does not block."""
        known = self._known.get((kind, number))
        return known is not None and self._monotonic() - known[0] < NAME_SECONDS

    def _name(self, kind: str, number: int, look_up: Callable[[], str]) -> str | None:
        now = self._monotonic()
        known = self._known.get((kind, number))
        if known is not None and now - known[0] < NAME_SECONDS:
            return known[1]
        try:
            name: str | None = look_up()
        except (KeyError, OSError):
            name = None
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[kind, number] = (now, name)
        return name


class Identity:
    """One connection's peer: ids at once, the rest when a policy that needs it is first applied."""

    __slots__ = ("_names", "_peer", "_policy", "_socket", "gid", "pid", "uid")

    def __init__(self, connection: socket.socket, names: Names) -> None:
        self.uid, self.gid, self.pid = credentials(connection)
        self._socket = connection
        self._names = names
        self._peer: Peer | None = None
        self._policy: AccessPolicy | None = None

    @property
    def bare_peer(self) -> Peer:
        """The peer by its ids alone."""
        return Peer(uid=self.uid, gid=self.gid, pid=self.pid)

    def known(self, policy: AccessPolicy) -> Peer | None:
        """The peer as far as `policy` needs it, where that is known without looking anything up."""
        if policy is self._policy:
            return self._peer
        if policy.needs_unit or (
            policy.needs_names and not (self._names.knows("user", self.uid) and self._names.knows("group", self.gid))
        ):
            return None
        groups = self._groups(policy)
        if policy.needs_names and not all(self._names.knows("group", gid) for gid in groups):
            return None
        self._peer, self._policy = self._compose(policy, groups, None), policy
        return self._peer

    async def resolve(self, policy: AccessPolicy) -> Peer:
        """The peer as far as `policy` needs it; lookups run in a worker thread."""
        peer = self.known(policy)
        if peer is None:
            peer = await asyncio.get_running_loop().run_in_executor(None, self.look_up, policy)
            self._peer, self._policy = peer, policy
        return peer

    def look_up(self, policy: AccessPolicy) -> Peer:
        """Ask the system for what `policy` needs. Blocking."""
        unit = UNITS.of_peer(self._socket, self.pid, self.uid) if policy.needs_unit else None
        return self._compose(policy, self._groups(policy), unit)

    def _groups(self, policy: AccessPolicy) -> frozenset[int]:
        return supplementary_groups(self._socket) if policy.needs_groups else frozenset()

    def _compose(self, policy: AccessPolicy, groups: frozenset[int], unit: str | None) -> Peer:
        names = self._names
        group_names = {names.group(gid) for gid in (self.gid, *groups)} if policy.needs_names else set()
        return Peer(
            uid=self.uid,
            gid=self.gid,
            pid=self.pid,
            groups=groups,
            user=names.user(self.uid) if policy.needs_names else None,
            group_names=frozenset(name for name in group_names if name is not None),
            unit=unit,
        )
