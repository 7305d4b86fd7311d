"""User and group names, by their ids: remembered for a minute, looked up where no other work can be held up.

A lookup may go over the network (NSS) and has no timeout of its own. The one invariant: a name service that hangs
costs its waiters a bounded time and nobody else anything.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

NAME_SECONDS = 60.0
LOOK_UP_SECONDS = 3.0
MAX_NAMES = 4096
THREADS = 2

Key = tuple[str, int]


class Known(NamedTuple):
    """A name, or that there is none, and when that was found out."""

    at: float
    name: str | None


class Names:
    """The names that were looked up; `look_up` blocks. Its threads are daemons: one that hangs holds up no stop."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        look_up: Callable[[Key], str | None] | None = None,
        *,
        look_up_seconds: float = LOOK_UP_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._look_up = look_up or ask_system
        self._seconds = look_up_seconds
        self._known: dict[Key, Known] = {}
        self._asked: dict[Key, asyncio.Future[str | None]] = {}
        self._work: queue.SimpleQueue[tuple[Key, asyncio.Future[str | None]] | None] = queue.SimpleQueue()
        self._threads = 0

    def remembered(self, uid: int, gids: AbstractSet[int]) -> tuple[str | None, frozenset[str]] | None:
        """The user's name and those of the groups, where all are remembered."""
        now = self._monotonic()
        keys = _keys(uid, gids)
        if not all(self._is_known(key, now) for key in keys):
            return None
        return _told({key: self._known[key].name for key in keys}, uid)

    async def of(self, uid: int, gids: AbstractSet[int]) -> tuple[str | None, frozenset[str]] | None:
        """The user's name and those of the groups; None: not found out in time."""
        keys, now = _keys(uid, gids), self._monotonic()
        names = {key: self._known[key].name for key in keys if self._is_known(key, now)}
        asked = {key: self._ask(key) for key in keys if key not in names}
        if asked:
            _, late = await asyncio.wait(asked.values(), timeout=self._seconds)
            if late:
                return None
            names |= {key: answer.result() for key, answer in asked.items()}
        return _told(names, uid)

    def close(self) -> None:
        """Let the threads end."""
        for _ in range(self._threads):
            self._work.put(None)
        self._threads = 0

    def _is_known(self, key: Key, now: float) -> bool:
        known = self._known.get(key)
        return known is not None and now - known.at < NAME_SECONDS

    def _ask(self, key: Key) -> asyncio.Future[str | None]:
        """One lookup of a key at a time, however many wait for it."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.get_running_loop().create_future()
            asked.add_done_callback(lambda answer: self._remember(key, answer))
            if self._threads < THREADS:
                self._threads += 1
                threading.Thread(target=self._run, name="names", daemon=True).start()
            self._work.put((key, asked))
        return asked

    def _remember(self, key: Key, answer: asyncio.Future[str | None]) -> None:
        del self._asked[key]
        if answer.cancelled():
            return
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[key] = Known(self._monotonic(), answer.result())

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            key, asked = work
            name = self._look_up(key)
            try:
                asked.get_loop().call_soon_threadsafe(_set, asked, name)
            except RuntimeError:  # the loop has ended
                return


def _keys(uid: int, gids: AbstractSet[int]) -> list[Key]:
    return [("user", uid), *(("group", gid) for gid in gids)]


def _told(names: dict[Key, str | None], uid: int) -> tuple[str | None, frozenset[str]]:
    groups = frozenset(name for (kind, _), name in names.items() if kind == "group" and name is not None)
    return names["user", uid], groups


def _set(asked: asyncio.Future[str | None], name: str | None) -> None:
    if not asked.done():
        asked.set_result(name)


def ask_system(key: Key) -> str | None:
    """The name that pwd or grp (NSS) knows; None where it knows none. May block for as long as it likes."""
    kind, number = key
    try:
        return pwd.getpwuid(number).pw_name if kind == "user" else grp.getgrgid(number).gr_name
    except (KeyError, OSError, OverflowError, ValueError):
        return None
