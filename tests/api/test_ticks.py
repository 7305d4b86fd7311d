"""An idle listener sleeps: it ticks only while something has a deadline or is being counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.api.front import Front
from broker.api.limits import Limits
from tests.api.conftest import Broker, serving

if TYPE_CHECKING:
    from pathlib import Path

QUICK = Limits(tick_seconds=0.01, audit_window_seconds=0.5, idle_seconds=0.5)


async def turns(seconds: float) -> None:
    """Let so much time pass."""
    over = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, over.set_result, None)
    await over


def ticks(broker: Broker) -> bool:
    return broker.listener._timer is not None


async def sleeps(broker: Broker) -> None:
    async with asyncio.timeout(5):
        while ticks(broker):
            await turns(0.01)


async def test_it_sleeps_before_the_first_connection_and_after_the_last(folder: Path) -> None:
    async with serving(folder, QUICK) as broker:
        assert not ticks(broker)
        status, _ = await broker.json("GET", "/v1/tickets/front-door")
        assert status == 200
        assert ticks(broker)
        await sleeps(broker)  # the kept connection was closed as idle, the window of the audit is over
        assert len(broker.listener.connections) == 0
        assert not broker.listener.audit.counting


async def test_a_watcher_alone_wakes_nobody_and_is_looked_after_when_it_stops_reading(folder: Path) -> None:
    async with serving(folder, QUICK) as broker:
        reader, writer = await asyncio.open_unix_connection(broker.path)
        writer.write(b"GET /v1/tickets/front-door/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        broker.backend.lines.put_nowait({"type": "unavailable"})
        await reader.readuntil(b"unavailable")
        await sleeps(broker)
        assert len(broker.listener.connections) == 1
        for connection in broker.listener.connections:
            assert isinstance(connection.front, Front)
            connection.front.pause_writing()
        assert ticks(broker)
        writer.close()
        await writer.wait_closed()
