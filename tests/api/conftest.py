"""A listener on a real Unix socket over the fake backend, and two ways to talk to it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from broker.api.endpoint import bind_socket
from broker.api.listener import Listener
from broker.config import SocketConfig
from broker.events import check
from tests.api.fake_backend import FakeBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from broker.api.limits import Limits


class Recorder:
    """Events, held to the vocabulary and kept."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def emit(self, event: str, **facts: object) -> None:
        check(event, facts)
        self.events.append((event, facts))

    def of(self, event: str) -> list[dict[str, object]]:
        return [facts for name, facts in self.events if name == event]


@dataclass
class Broker:
    """What a test needs to see of a running listener."""

    path: Path
    backend: FakeBackend
    listener: Listener
    session: aiohttp.ClientSession
    events: Recorder
    bugs: list[BaseException] = field(default_factory=list)

    async def raw(self, request: bytes, *, half_close: bool = False) -> bytes:
        """Send bytes, read until the end."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(request)
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def json(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON body of a request."""
        async with self.session.request(method, f"http://localhost{path}", **options) as response:
            return response.status, await response.json(content_type=None)


@asynccontextmanager
async def serving(
    folder: Path, limits: Limits | None = None, backend: FakeBackend | None = None
) -> AsyncIterator[Broker]:
    path = folder / "broker.sock"
    backend, events, bugs = backend or FakeBackend(), Recorder(), []  # type: ignore[var-annotated]
    endpoint = bind_socket(SocketConfig(path=path, mode=0o600))
    listener = Listener(backend, [endpoint], events=events, on_bug=bugs.append, limits=limits)
    listener.start()
    connector = aiohttp.UnixConnector(path=os.fspath(path), limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Broker(path, backend, listener, session, events, bugs)
    finally:
        await listener.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="api-") as name:
        yield Path(name)


@pytest.fixture
async def broker(folder: Path) -> AsyncIterator[Broker]:
    async with serving(folder) as running:
        yield running
        assert running.bugs == []
