"""Everybody who watches one ticket: one task follows it for all, and a line is made once and told to a few at a turn.

Between two handfuls of watchers the loop has its turn, so that who asks for a ticket need not wait for a thousand who
watch. Leave and audit are those of a vend. The one invariant: a watcher is told by the channel or by its own
coroutine, never by both at once, and never something older than it knows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from broker.api.audit import Given
from broker.api.representation import encode_line
from broker.core.secret import Secret
from broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from broker.api.audit import Audit
    from broker.api.backend import Row
    from broker.api.call import Call
    from broker.api.shelter import Shelter
    from broker.core.access import AccessPolicy

TOLD_A_TURN = 16


class Message(NamedTuple):
    """A line as it is sent; `meaning` says whether another tells the same, None: it tells nothing (a heartbeat)."""

    line: bytes
    meaning: tuple[object, ...] | None = None
    given: Given | None = None


HEARTBEAT = Message(encode_line({"type": "heartbeat"}))
END = Message(encode_line({"type": "end"}))


def message(name: str, row: Row) -> Message:
    """A row of the backend's watch."""
    ticket, given = row.get("ticket"), None
    if ticket is not None:
        secret = ticket if isinstance(ticket, Secret) else Secret(str(ticket))
        given = Given("ticket", name, secret, row.get("generation"), row.get("expires_in"))
    return Message(encode_line(row), (row.get("type"), row.get("generation"), row.get("code")), given)


class Watcher:
    """A client who watches; times are the loop's. `ready`: its coroutine waits, so the channel may write."""

    __slots__ = ("call", "chunked", "known", "ready", "seen", "told_at", "woken")

    def __init__(self, call: Call, seen: int, known: Message, *, chunked: bool) -> None:
        self.call = call
        self.seen = seen
        self.known = known
        self.chunked = chunked
        self.ready = False
        self.told_at = 0.0
        self.woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Have its coroutine look."""
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


class Channel:
    """One ticket under one policy; `over` when nothing follows. `count` numbers its messages."""

    def __init__(
        self, name: str, rows: AsyncIterator[Row], *, access: Callable[[], AccessPolicy], audit: Audit, shelter: Shelter
    ) -> None:
        self.policy = access()
        self.over = False
        self._name = name
        self._rows = rows
        self._access = access
        self._audit = audit
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._latest: Message | None = None
        self._watchers: set[Watcher] = set()
        self._following = shelter.start(self._follow())

    def join(self, call: Call, known: Message, *, chunked: bool) -> Watcher:
        """Somebody who is about to be told `known`."""
        watcher = Watcher(call, self._count, known, chunked=chunked)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Somebody has gone; with the last one it ends."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self.end()

    def end(self) -> None:
        """Follow no more."""
        self.over = True
        self._following.cancel()
        for watcher in self._watchers:
            watcher.wake()

    async def next(self, watcher: Watcher, silence_seconds: float) -> Message | None:
        """What the watcher's coroutine must write: what the channel could not, or a heartbeat; None: it is over."""
        watcher.ready = True
        try:
            while not self.over:
                if watcher.seen != self._count and self._latest is not None:
                    watcher.seen = self._count
                    if self._latest.meaning != watcher.known.meaning:
                        return self._latest
                left = watcher.told_at + silence_seconds - self._loop.time()
                if left <= 0:
                    return HEARTBEAT
                watcher.woken = self._loop.create_future()
                await asyncio.wait({watcher.woken}, timeout=left)
        finally:
            watcher.ready = False
        if self._following.done() and not self._following.cancelled():
            self._following.result()  # a bug, if it was one
        return None

    async def _follow(self) -> None:
        try:
            async for row in self._rows:
                self._latest = message(self._name, row)
                self._count += 1
                await self._tell_all(self._latest)
        except BrokerError:  # its cause was a line of its own, or is a shutdown
            pass
        finally:
            self.over = True
            if (close := getattr(self._rows, "aclose", None)) is not None:
                await close()
            for watcher in self._watchers:
                watcher.wake()

    async def _tell_all(self, news: Message) -> None:
        chunk = b"%x\r\n%b\r\n" % (len(news.line), news.line)
        for number, watcher in enumerate(tuple(self._watchers)):
            if number % TOLD_A_TURN == 0:
                turn = self._loop.create_future()
                self._loop.call_soon(turn.set_result, None)
                await turn
            if watcher in self._watchers and news.meaning != watcher.known.meaning:
                self._tell(watcher, news, chunk)

    def _tell(self, watcher: Watcher, news: Message, chunk: bytes) -> None:
        """Write at once where that needs no waiting: for room, or for who it is."""
        connection, policy = watcher.call.connection, self._access()
        peer = connection.identity.known(policy)
        at_once = watcher.ready and not connection.writing_paused and not (watcher.woken and watcher.woken.done())
        if not at_once or peer is None or not policy.may_vend(self._name, peer):
            watcher.wake()
            return
        connection.transport.write(chunk if watcher.chunked else news.line)
        watcher.seen, watcher.known, watcher.told_at = self._count, news, self._loop.time()
        if news.given is not None:
            self._audit.served(peer, watcher.told_at, news.given)
