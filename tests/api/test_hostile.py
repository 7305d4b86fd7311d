"""What a hostile or broken local process may send, and that it costs nobody else anything."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from pathlib import Path

import pytest

from broker.api.limits import Limits
from tests.api.conftest import Broker, serving

GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
QUICK = Limits(header_seconds=0.1, body_seconds=0.1, idle_seconds=0.3, write_seconds=0.2, tick_seconds=0.02)


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: localhost\r\nOrigin: http://localhost\r\n",
        b"Host: localhost\r\nOrigin: null\r\n",
        b"Host: localhost\r\norigin:\r\n",
        b"Host: evil.example\r\n",
        b"Host: localhost:8080\r\n",
        b"Host: localhost.evil.example\r\n",
        b"Host: 127.0.0.1\r\n",
        b"Host: \r\n",
    ],
)
async def test_what_a_web_page_could_send_is_refused(broker: Broker, headers: bytes) -> None:
    answer = await broker.raw(b"GET /v1/tickets/front-door HTTP/1.1\r\n" + headers + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b'"code": "not_allowed"' in answer
    assert broker.backend.asked == []


@pytest.mark.parametrize("host", [b"localhost", b"eliot-broker", b"LOCALHOST", b"localhost:80", b"eliot-broker:80"])
async def test_our_own_names_are_served(broker: Broker, host: bytes) -> None:
    answer = await broker.raw(b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_request_without_host_is_a_bad_request(broker: Broker, version: bytes) -> None:
    answer = await broker.raw(b"GET /healthz HTTP/" + version + b"\r\nConnection: close\r\n\r\n")
    assert answer.split(b"\r\n")[0].split(b" ")[1] == b"400"
    assert b'"code": "bad_request"' in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 200 + b"\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_400_and_closed_without_a_line_in_the_log(
    broker: Broker, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await broker.raw(request_bytes)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b'"code": "bad_request"' in answer
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"GET /v1/tickets/%ff%00%2e%2e%2f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /v1/tickets/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)
async def test_odd_but_whole_requests_get_an_answer(broker: Broker, request_bytes: bytes) -> None:
    answer = await broker.raw(request_bytes, half_close=True)
    assert answer.split(b" ")[1] in {b"200", b"400", b"404", b"405"}


@pytest.mark.parametrize(
    ("where", "status"),
    [
        (b"http://localhost", b"200"),
        (b"http://localhost:80", b"200"),
        (b"http://LOCALHOST", b"200"),
        (b"http://evil.example", b"403"),
        (b"http://localhost.evil.example", b"403"),
        (b"http://localhost:8080", b"403"),
        (b"http://localhost@evil.example", b"403"),
    ],
)
async def test_an_absolute_target_is_served_like_its_path_where_it_names_us(
    broker: Broker, where: bytes, status: bytes
) -> None:
    target = b"GET " + where + b"/healthz HTTP/1.1\r\n"
    answer = await broker.raw(target + b"Host: localhost\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] == status


async def test_a_client_that_only_closed_its_sending_side_still_gets_its_answer(broker: Broker) -> None:
    broker.backend.gate = asyncio.Event()
    request = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n\r\n"
    asking = asyncio.get_running_loop().create_task(broker.raw(request, half_close=True))
    await broker.backend.entered.wait()
    broker.backend.gate.set()
    assert (await asking).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_hung_up_is_no_longer_waited_for(broker: Broker) -> None:
    broker.backend.gate = asyncio.Event()
    _, writer = await asyncio.open_unix_connection(broker.path)
    writer.write(b"GET /v1/tickets/front-door?wait=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await broker.backend.entered.wait()
    writer.close()
    async with asyncio.timeout(8):
        await broker.backend.left.wait()
    await gone(broker)


async def test_a_login_goes_on_when_its_client_hung_up(broker: Broker) -> None:
    broker.backend.gate = asyncio.Event()
    _, writer = await asyncio.open_unix_connection(broker.path)
    writer.write(b"POST /v1/accounts/home/refresh HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await broker.backend.entered.wait()
    writer.close()
    await gone(broker)
    assert not broker.backend.left.is_set()
    broker.backend.gate.set()
    async with asyncio.timeout(8):
        await broker.backend.left.wait()


@pytest.mark.parametrize(
    "announced",
    [b"Content-Length: 16385\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n"],
)
async def test_an_endless_body_is_cut_off(broker: Broker, announced: bytes) -> None:
    loop = asyncio.get_running_loop()
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    await loop.sock_connect(client, os.fspath(broker.path))
    await loop.sock_sendall(
        client, b"POST /v1/accounts/home/login/complete HTTP/1.1\r\nHost: localhost\r\n" + announced
    )
    twenty_megabytes = (b"1000\r\n" + b"a" * 4096 + b"\r\n") * 5000
    with pytest.raises(ConnectionError):
        await loop.sock_sendall(client, twenty_megabytes)
    assert (await loop.sock_recv(client, 4096)).split(b" ")[1] == b"400"
    client.close()


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: local", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"],
)
async def test_half_a_request_is_not_waited_for_long(folder: Path, start: bytes) -> None:
    async with serving(folder, QUICK) as broker:
        assert await broker.raw(start) == b""


async def test_a_head_that_drips_is_not_waited_for_long(folder: Path) -> None:
    async with serving(folder, QUICK) as broker:
        reader, writer = await asyncio.open_unix_connection(broker.path)
        async with asyncio.timeout(8):
            while not (reader.at_eof() or writer.is_closing()):
                writer.write(b"G")
                await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.03)
        writer.close()


async def test_half_a_body_is_not_waited_for_long(folder: Path) -> None:
    async with serving(folder, QUICK) as broker:
        answer = await broker.raw(
            b"POST /v1/accounts/home/login/complete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        )
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"did not arrive" in answer


async def test_an_idle_connection_is_closed_in_the_end(folder: Path) -> None:
    async with serving(folder, QUICK) as broker:
        answer = await broker.raw(GOOD.replace(b"Connection: close\r\n", b""))
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_does_not_read_is_given_up(folder: Path) -> None:
    async with serving(folder, QUICK) as broker:
        _, writer = await asyncio.open_unix_connection(broker.path)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /v1/tickets/front-door/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(200):
            broker.backend.lines.put_nowait({"type": "unavailable", "padding": "x" * 20_000})
        async with asyncio.timeout(5):
            await broker.backend.watch_closed.wait()
        writer.close()


async def test_three_hundred_idle_clients_stall_nobody(folder: Path) -> None:
    async with serving(folder, Limits(connections_per_uid=400)) as broker:
        idle = [socket.socket(socket.AF_UNIX) for _ in range(300)]
        try:
            for client in idle:
                client.connect(os.fspath(broker.path))
                client.send(b"GET /v1/tick")
            async with asyncio.timeout(8):
                assert (await broker.raw(GOOD)).startswith(b"HTTP/1.1 200 ")
        finally:
            for client in idle:
                client.close()


async def test_one_connection_too_many_is_told_so_and_the_others_live(folder: Path) -> None:
    async with serving(folder, Limits(connections_per_uid=2)) as broker:
        first = await asyncio.open_unix_connection(broker.path)
        second = await asyncio.open_unix_connection(broker.path)
        answer = await broker.raw(GOOD)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b'"code": "rate_limited"' in answer
        assert b"Retry-After: 1\r\n" in answer
        first[1].close()
        await gone(broker, left=1)
        assert (await broker.raw(GOOD)).startswith(b"HTTP/1.1 200 ")
        second[1].close()


async def test_a_request_too_many_is_told_when_to_come_back(folder: Path) -> None:
    async with serving(folder, Limits(rate_per_second=0.5, rate_burst=2)) as broker:
        statuses = [(await broker.json("GET", "/healthz"))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        status, body = await broker.json("GET", "/healthz")
        assert (status, body["code"], body["remedy"]) == (429, "rate_limited", "retry")
        assert body["retry_after"] in {1, 2}, "two seconds from the third request on"


async def test_abrupt_resets_leave_nothing_behind(broker: Broker) -> None:
    before = descriptors()
    for cut in range(0, len(GOOD), 3):
        client = socket.socket(socket.AF_UNIX)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.connect(os.fspath(broker.path))
        client.send(GOOD[:cut] or b"\n")
        client.close()
    assert (await broker.raw(GOOD)).startswith(b"HTTP/1.1 200 ")
    await gone(broker)
    async with asyncio.timeout(10):
        while descriptors() > before:
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)


async def test_pipelined_requests_are_answered_in_order(broker: Broker) -> None:
    one = b"GET /v1/accounts/home HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await broker.raw(one * 100 + GOOD)
    assert answer.count(b"HTTP/1.1 200 OK") == 101
    assert answer.endswith(b'{"status": "live"}')


async def test_a_pipeline_is_answered_to_its_end_although_its_client_closed_the_sending_side(broker: Broker) -> None:
    one = b"GET /v1/accounts/home HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await broker.raw(one * 5, half_close=True)).count(b"HTTP/1.1 200 OK") == 5


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def gone(broker: Broker, left: int = 0) -> None:
    """Wait until no more than `left` connections are open."""
    async with asyncio.timeout(10):
        while len(broker.listener.connections) > left:
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)
