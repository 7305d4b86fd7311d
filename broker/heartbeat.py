"""The watchdog's food: a ping to the service manager, only after a look at our own socket that was answered.

Called at the end of a sweep, so that a ping means: a sweep ran, and a caller gets through accept, parser and routes.
Knows no HTTP but the first line of an answer. The one invariant: whatever the cloud does, it changes nothing here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.adapters.systemd import ServiceManager

QUESTION = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ANSWER_SECONDS = 5.0
LOOKS_IN_A_PERIOD = 3


class Heartbeat:
    """Pings where a ping is due; `monotonic` in seconds, `path` is the socket that callers use.

    `given`: the socket is the service manager's. Where its file is gone a restart of ours would not bring it back, so
    that alone does not stop the pings.
    """

    def __init__(self, manager: ServiceManager, path: Path, *, given: bool, monotonic: Callable[[], float]) -> None:
        self._manager = manager
        self._path = path
        self._given = given
        self._monotonic = monotonic
        self._next = 0.0

    @property
    def every_seconds(self) -> float | None:
        """How often a sweep must call `beat`; None: nobody listens for it."""
        period = self._manager.watchdog_seconds
        return None if period is None else period / LOOKS_IN_A_PERIOD

    async def beat(self) -> None:
        """Look and ping, where that is due."""
        every = self.every_seconds
        now = self._monotonic()
        if every is None or now < self._next:
            return
        if await self._answers():
            self._manager.watchdog()
            self._next = now + every / 2  # a sweep that comes a little early still counts

    async def _answers(self) -> bool:
        """Whether a new connection gets an HTTP answer; which one does not matter (429 is one, too)."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(QUESTION)
                    line = await reader.readline()
                finally:
                    writer.close()
        except FileNotFoundError:
            return self._given
        except (OSError, TimeoutError):
            return False
        return line.startswith(b"HTTP/1.1 ")
