"""The fast path: a ticket request that is, byte for byte, one whose meaning is known, answered by bytes made before.

It parses nothing. The general path (`server`, `routes`, `tickets`) reads a request and vends; if the request came
whole, `learn` remembers the bytes of its header block and what they asked for. From then on the same block behind
`GET /v1/tickets/NAME HTTP/1.1` is recognised by one look-up. Policy, limits and audit are those of the general path.
The one invariant: it says nothing but 200; whatever is new, late, refused or odd it leaves to the general path,
untouched.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from broker.api.audit import Given, Window
from broker.api.parameters import JSON_TYPE
from broker.api.representation import success_headers, tagged, ticket_body
from broker.errors import UnknownTicket

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.api.audit import Audit
    from broker.api.backend import Backend, ReadyTicket
    from broker.api.connection import Connection, Connections
    from broker.api.limits import Share
    from broker.core.access import AccessPolicy, Peer

REQUEST_LINE = re.compile(rb"GET /v1/tickets/([A-Za-z0-9_-][A-Za-z0-9._-]*) HTTP/1\.1\r\n")
END_OF_HEAD = b"\r\n\r\n"
LONGEST_REQUEST_BYTES = 1024
MAX_BLOCKS = 16  # of a uid: so that nobody pushes out what others taught
MAX_UIDS = 64
MAX_GRANTS = 8  # of a caller
MAX_CALLERS = 256
CALLER_SECONDS = 10.0  # names of users and groups may change
UNTOLD = Window(0.0)  # where nothing is counted yet


class Form(NamedTuple):
    """What a header block asks for: the bare ticket as `bare_type`, or JSON; and whether the connection ends."""

    bare_type: str | None
    close: bool


class Copy:
    """One ticket in one form, as bytes that are right until `until`, a moment of the boot clock."""

    __slots__ = ("answer", "form", "ready", "until")

    def __init__(self, ready: ReadyTicket, form: Form) -> None:
        self.ready = ready
        self.form = form
        self.until = 0.0
        self.answer = b""

    def renew(self, boot_seconds: float, wall_seconds: float) -> None:
        """Write the answer anew; it changes with `expires_in` and with the Date, so twice a second at most."""
        left = self.ready.ends_boot_seconds - boot_seconds
        self.answer = render(self.ready, self.form, max(0, int(left)), wall_seconds)
        self.until = boot_seconds + min(left % 1.0, 1.0 - wall_seconds % 1.0)


class Grant:
    """That this peer gets this copy for these bytes; `window` is where the audit counts it."""

    __slots__ = ("copy", "lease", "peer", "window")

    def __init__(self, peer: Peer, copy: Copy) -> None:
        self.peer = peer
        self.copy = copy
        self.lease = copy.ready.lease
        self.window = UNTOLD


class Caller:
    """What connections with the same credentials were granted under one policy.

    New connections join it until `until`, a moment of the boot clock.
    """

    __slots__ = ("grants", "policy", "until")

    def __init__(self, policy: AccessPolicy, until: float) -> None:
        self.grants: dict[bytes, Grant] = {}
        self.policy = policy
        self.until = until


class HotPath:
    """Answers what it recognises. `monotonic` is the loop's clock, `boot` and `wall` CLOCK_BOOTTIME and _REALTIME."""

    def __init__(
        self,
        backend: Backend,
        audit: Audit,
        connections: Connections,
        *,
        monotonic: Callable[[], float],
        boot: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._access = backend.access
        self._audit = audit
        self._shares = connections.shares
        self._most_in_flight = connections.limits.requests_in_flight_per_uid
        self._hot_requests = connections.limits.hot_requests
        self._monotonic = monotonic
        self._boot = boot
        self._wall = wall
        self._blocks: dict[int, dict[bytes, Form]] = {}
        self._copies: dict[tuple[str, Form], Copy] = {}
        self._callers: dict[tuple[int, int, int | None, bytes], Caller] = {}
        self._policy: AccessPolicy | None = None
        self.open = True

    def answer(self, connection: Connection, data: bytes) -> bool:
        """Answer `data`, all that came since the last answer, if it is a known request; False: nothing was done."""
        boot, caller = self._boot(), connection.caller
        grant = None if caller is None or caller.policy is not self._access() else caller.grants.get(data)
        if grant is None or grant.lease.until_boot_seconds <= boot:
            grant = self._granted(connection, data, boot)
            if grant is None:
                return False
        share, copy, window = connection.share, grant.copy, grant.window
        if share.in_flight >= self._most_in_flight or not self.open or not (share.hot_left or self._take(share)):
            return False
        share.hot_left -= 1
        if boot >= copy.until:
            copy.renew(boot, self._wall())
        if window.untold:
            window.untold += 1
        else:
            self._tell(grant, boot)
        connection.requests += 1
        connection.transport.write(copy.answer)
        if copy.form.close:
            connection.transport.close()
        return True

    def learn(self, connection: Connection, form: Form) -> None:
        """The general path vended a ticket in this form for the request that came whole as `connection.whole`."""
        request = connection.whole
        line = None if request is None else REQUEST_LINE.match(request)
        if request is None or line is None:
            return
        blocks = self._blocks.get(connection.identity.uid)
        if blocks is None:
            if len(self._blocks) >= MAX_UIDS:
                self._blocks.clear()
            blocks = self._blocks[connection.identity.uid] = {}
        if len(blocks) >= MAX_BLOCKS:
            del blocks[next(iter(blocks))]
        blocks[request[line.end() :]] = form

    def _granted(self, connection: Connection, data: bytes, boot: float) -> Grant | None:
        """What allows this request, found anew: the same questions, to the same judges, as in `routes`."""
        caller = self._caller(connection, boot)
        grant = None if caller is None else caller.grants.get(data)
        if caller is None or (grant is not None and grant.lease.until_boot_seconds > boot):
            return grant
        line = REQUEST_LINE.match(data)
        form = None if line is None else self._blocks.get(connection.identity.uid, {}).get(data[line.end() :])
        peer = connection.identity.known(caller.policy)
        if line is None or form is None or peer is None:
            return None
        caller.grants.pop(data, None)
        name = line[1].decode()
        allowed = name in caller.policy.tickets and caller.policy.may_vend(name, peer)
        copy = self._copy(caller.policy, name, form, boot) if allowed else None
        if copy is None:
            return None
        if len(caller.grants) >= MAX_GRANTS:
            caller.grants.clear()
        grant = caller.grants[data] = Grant(peer, copy)
        return grant

    def _caller(self, connection: Connection, boot: float) -> Caller | None:
        """Who asks; None where that must be waited for. A process that connects anew each time is known again."""
        policy, identity = self._access(), connection.identity
        if connection.caller is not None and connection.caller.policy is policy:
            return connection.caller
        key = identity.credentials(policy)
        caller = self._callers.get(key)
        if caller is None or caller.until < boot or caller.policy is not policy:
            if identity.known(policy) is None:
                return None
            caller = Caller(policy, boot + CALLER_SECONDS)
            if not policy.needs_unit:  # a process that has the number of one that ended may belong to another unit
                if len(self._callers) >= MAX_CALLERS:
                    self._callers.clear()
                self._callers[key] = caller
        connection.caller = caller
        return caller

    def _copy(self, policy: AccessPolicy, name: str, form: Form, boot: float) -> Copy | None:
        if policy is not self._policy:  # a reload: names may mean other tickets now
            self._policy = policy
            self._copies.clear()
        copy = self._copies.get((name, form))
        if copy is None or copy.ready.lease.until_boot_seconds <= boot:
            self._copies.pop((name, form), None)
            try:
                ready = self._backend.ready_ticket(name)
            except UnknownTicket:  # the general path says so, and the audit hears of it
                return None
            if ready is None:
                return None
            copy = self._copies[name, form] = Copy(ready, form)
        return copy

    def _take(self, share: Share) -> bool:
        """Take one request of the uid's rate, which pays for many of these."""
        if self._shares.take(share, self._monotonic()):
            return False
        share.hot_left = self._hot_requests
        return True

    def _tell(self, grant: Grant, boot: float) -> None:
        ready = grant.copy.ready
        vended, left = ready.vended, max(0, int(ready.ends_boot_seconds - boot))
        given = Given("ticket", vended.name, vended.ticket, vended.generation, left)
        grant.window = self._audit.served(grant.peer, self._monotonic(), given)


def is_whole(data: bytes) -> bool:
    """Whether this is one head from its first to its last byte, whoever reads it, and short enough to remember."""
    return (
        len(data) <= LONGEST_REQUEST_BYTES
        and data.find(END_OF_HEAD) == len(data) - len(END_OF_HEAD)
        and data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    )


def render(ready: ReadyTicket, form: Form, expires_in_seconds: int, wall_seconds: float) -> bytes:
    """The whole answer, byte for byte as aiohttp writes the general path's."""
    vended = ready.vended
    if form.bare_type is None:
        content_type, body = JSON_TYPE, ticket_body(vended, expires_in_seconds)
    else:
        content_type, body = form.bare_type, vended.ticket.reveal().encode()
    lines = [
        "HTTP/1.1 200 OK",
        *(f"{key}: {value}" for key, value in (success_headers(content_type) | tagged(vended.generation)).items()),
        f"Content-Length: {len(body)}",
        f"Date: {formatdate(wall_seconds, usegmt=True)}",
    ]
    if form.close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body
