"""Streams and the end: watch lines, heartbeats, hang-ups, and a stop that loses no request it accepted."""

from __future__ import annotations

import asyncio
import json
import select
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.api.limits import Limits
from broker.core.access import AccessPolicy
from broker.core.secret import Secret
from broker.errors import ShuttingDown, UnknownTicket
from tests.api.conftest import Broker, serving
from tests.api.fake_backend import STRANGER, FakeBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

WATCH = "http://localhost/v1/tickets/front-door/watch"
TICKET_LINE = {"type": "ticket", "name": "front-door", "ticket": Secret("t-7"), "generation": 7, "expires_in": 99}


@asynccontextmanager
async def watching(broker: Broker, first: Any = TICKET_LINE) -> AsyncIterator[aiohttp.ClientResponse]:
    broker.backend.lines.put_nowait(first)
    async with asyncio.timeout(5), broker.session.get(WATCH) as response:
        yield response


async def line(response: aiohttp.ClientResponse) -> Any:
    return json.loads(await response.content.readline())


async def test_a_watch_tells_the_state_then_each_change(broker: Broker) -> None:
    async with watching(broker) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        assert response.headers["Cache-Control"] == "no-store"
        assert await line(response) == {**TICKET_LINE, "ticket": "t-7"}
        broker.backend.lines.put_nowait({"type": "unavailable", "code": "login_required"})
        assert await line(response) == {"type": "unavailable", "code": "login_required"}
        broker.backend.lines.put_nowait(None)
        assert await line(response) == {"type": "end"}
        assert await response.content.read() == b""
    served = broker.events.of("ticket.served")
    assert [(facts["ticket"], facts["generation"], facts["fingerprint"]) for facts in served] == [
        ("front-door", 7, Secret("t-7").fingerprint)
    ]


async def test_silence_is_broken_by_heartbeats_and_no_line_is_lost_to_them(folder: Path) -> None:
    async with serving(folder, Limits(heartbeat_seconds=0.02)) as broker, watching(broker) as response:
        assert (await line(response))["type"] == "ticket"
        for _ in range(3):
            assert await line(response) == {"type": "heartbeat"}
        broker.backend.lines.put_nowait({"type": "unavailable"})
        while (told := await line(response)) == {"type": "heartbeat"}:
            pass
        assert told == {"type": "unavailable"}


async def test_a_watch_that_cannot_begin_is_a_problem(broker: Broker) -> None:
    async with watching(broker, UnknownTicket("gone meanwhile")) as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_a_failure_in_the_middle_ends_the_watch_in_order(broker: Broker) -> None:
    async with watching(broker) as response:
        await line(response)
        broker.backend.lines.put_nowait(ShuttingDown("x"))
        assert await line(response) == {"type": "end"}


class States(FakeBackend):
    """Tells the present state to whoever begins to watch, then each change."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, Any] = TICKET_LINE
        self.changed = asyncio.Event()

    def change(self, state: dict[str, Any]) -> None:
        self.state, changed, self.changed = state, self.changed, asyncio.Event()
        changed.set()

    async def watch(self, name: str) -> AsyncIterator[Any]:
        self.asked.append(("watch", name, {}))
        while True:
            yield self.state
            await self.changed.wait()


async def test_many_watchers_are_told_each_change_once_and_a_late_one_is_told_the_state(folder: Path) -> None:
    eight = {**TICKET_LINE, "ticket": Secret("t-8"), "generation": 8}
    backend = States()
    async with serving(folder, backend=backend) as broker, asyncio.timeout(10), AsyncExitStack() as stack:
        responses = [await stack.enter_async_context(broker.session.get(WATCH)) for _ in range(40)]
        for response in responses:
            assert (await line(response))["generation"] == 7
        backend.change(eight)
        for response in responses:
            assert await line(response) == {**eight, "ticket": "t-8"}
        responses.append(await stack.enter_async_context(broker.session.get(WATCH)))
        assert (await line(responses[-1]))["generation"] == 8
        backend.change(eight)  # what is known already is no change
        backend.change({"type": "unavailable", "code": "login_required"})
        for response in responses:
            assert (await line(response))["type"] == "unavailable"
        broker.listener.audit.flush()
        assert sum(int(str(facts["count"])) for facts in broker.events.of("ticket.served")) == 81


async def test_a_watcher_without_room_for_more_is_written_to_by_its_own_coroutine(broker: Broker) -> None:
    async with watching(broker) as response:
        assert (await line(response))["generation"] == 7
        for connection in broker.listener.connections:
            connection.writing_paused = True
        for generation in (8, 9):
            broker.backend.lines.put_nowait({**TICKET_LINE, "generation": generation})
            assert (await line(response))["generation"] == generation


async def test_a_watch_ends_when_its_client_hangs_up(broker: Broker) -> None:
    async with watching(broker) as response:
        await line(response)
        broker.backend.watch_closed.clear()
        response.close()
        await broker.backend.watch_closed.wait()


async def test_a_watch_ends_when_a_reload_takes_the_leave_away(broker: Broker) -> None:
    async with watching(broker) as response:
        await line(response)
        broker.backend.policy = AccessPolicy(own_uid=STRANGER, tickets={"front-door": ("uid:1234567",)})
        broker.backend.lines.put_nowait({**TICKET_LINE, "generation": 8})
        assert await line(response) == {"type": "end"}


async def test_a_stop_ends_every_watch_with_a_line(folder: Path) -> None:
    async with serving(folder) as broker, watching(broker) as response:
        await line(response)
        stopping = asyncio.get_running_loop().create_task(broker.listener.stop())
        assert await line(response) == {"type": "end"}
        assert await response.content.read() == b""
        await stopping


async def test_a_stop_answers_what_is_in_flight_and_closes_what_is_idle(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    async with serving(folder, Limits(tick_seconds=0.05)) as broker:
        broker.backend.gate = asyncio.Event()
        idle_reader, idle = await asyncio.open_unix_connection(broker.path)
        idle.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await idle_reader.readuntil(b'"live"}')
        asking = loop.create_task(broker.raw(b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        await broker.backend.entered.wait()
        stopping = loop.create_task(broker.listener.stop())
        async with asyncio.timeout(3):
            assert await idle_reader.read() == b""
        assert not broker.path.exists()
        with pytest.raises(OSError, match=r"No such file|refused"):
            await asyncio.open_unix_connection(broker.path)
        broker.backend.gate.set()
        answer = await asking
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in answer
        async with asyncio.timeout(3):
            await stopping
        idle.close()


async def test_a_request_sent_just_before_the_stop_is_answered(folder: Path) -> None:
    async with serving(folder) as broker:
        reader, writer = await asyncio.open_unix_connection(broker.path)
        await asyncio.get_running_loop().run_in_executor(None, int)  # accepted, and nothing asked yet
        stopping = asyncio.get_running_loop().create_task(broker.listener.stop())
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        await stopping
        writer.close()


@pytest.mark.parametrize("turns", range(6))
async def test_what_was_accepted_in_whichever_turn_before_the_stop_is_answered(folder: Path, turns: int) -> None:
    """The rest stays in the socket, for the one that systemd starts next."""
    async with serving(folder) as broker:
        next_one = broker.listener._endpoints[0].socket.dup()
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(broker.path))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(turns):
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn
        await broker.listener.stop()
        client.setblocking(False)
        answered = _answer(client)
        left = select.select([next_one], [], [], 0)[0]
        assert answered.startswith(b"HTTP/1.1 200 ") or (left and not answered)
        client.close()
        next_one.close()


def _answer(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except BlockingIOError:
        return b""


async def test_a_request_that_does_not_end_is_told_that_the_broker_stops(folder: Path) -> None:
    async with serving(folder, Limits(stop_seconds=0.1)) as broker:
        broker.backend.gate = asyncio.Event()
        asking = asyncio.get_running_loop().create_task(
            broker.raw(b"GET /v1/tickets/front-door?wait=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        )
        await broker.backend.entered.wait()
        await broker.listener.stop()
        answer = await asking
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code": "shutting_down"' in answer


@pytest.mark.slow
async def test_after_a_stop_no_task_is_left(folder: Path) -> None:
    before = asyncio.all_tasks()
    async with serving(folder, Limits(stop_seconds=0.1)) as broker:
        broker.backend.gate = asyncio.Event()
        _, writer = await asyncio.open_unix_connection(broker.path)
        writer.write(b"POST /v1/accounts/home/refresh HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await broker.backend.entered.wait()
        await broker.listener.stop()
        assert len(broker.listener.connections) == 0
        writer.close()
        await writer.wait_closed()
        assert asyncio.all_tasks() == before
        await broker.listener.stop()


async def test_a_peer_without_leave_is_refused_and_the_refusal_is_told(broker: Broker) -> None:
    broker.backend.policy = replace(broker.backend.policy, own_uid=STRANGER)
    refused = [
        ("GET", "/v1/tickets/garage"),
        ("GET", "/v1/tickets/garage/watch"),
        ("POST", "/v1/tickets/garage/refresh"),
        ("GET", "/v1/accounts/home/id-token"),
        ("POST", "/v1/accounts/home/login"),
        ("POST", "/v1/accounts/home/login/complete"),
        ("POST", "/v1/accounts/home/refresh"),
        ("POST", "/v1/accounts/home/logout"),
        ("POST", "/v1/reload"),
    ]
    for method, path in refused:
        status, body = await broker.json(method, path, json={"response": "x"} if method == "POST" else None)
        assert (path, status, body["code"]) == (path, 403, "not_allowed")
        assert body["hint"]
    assert broker.backend.asked == []
    told = [(facts["method"], facts["path"], facts["code"]) for facts in broker.events.of("request.refused")]
    assert told == [(method, path, "not_allowed") for method, path in refused]
