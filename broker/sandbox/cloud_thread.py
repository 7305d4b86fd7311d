"""CloudThread: the stand-in cloud beside code that has no loop, as tests with real broker processes are.

The one invariant: the thread ends with the `with` block, and a failure to start is raised there.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Literal

from broker.sandbox.cloud import LOOPBACK, WALL_CLOCK, Cloud

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from broker.sandbox.options import Options

_START_SECONDS = 30


class CloudThread:
    """A Cloud in a thread with its own loop: `with CloudThread(options) as cloud`, for tests with real processes."""

    def __init__(
        self,
        options: Options | None = None,
        *,
        directory: Path | None = None,
        host: Literal["127.0.0.1", "::1"] = LOOPBACK,
        port: int = 0,
        now: Callable[[], float] = WALL_CLOCK,
    ) -> None:
        self._cloud = Cloud(options, directory=directory, host=host, port=port, now=now)
        self._thread = threading.Thread(target=self._run, name="sandbox-cloud", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Cloud:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise TimeoutError("sandbox: the cloud did not start")
        if self._failure is not None:
            raise self._failure
        return self._cloud

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 -- it belongs to the thread that waits in __enter__
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._cloud:
            self._ready.set()
            await self._stop.wait()
