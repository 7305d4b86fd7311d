"""Crowds: what many connections of one user may cost the others, and how they are turned out."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.api.crowd import REFUSAL_SECONDS, REFUSALS_AT_ONCE, Crowds
from broker.api.front import UNSENT_BYTES
from broker.api.limits import Limits
from broker.api.listener import CROWD, Listener
from broker.api.lobby import MOVE_SECONDS
from broker.api.names import Names
from broker.core.access import AccessPolicy
from tests.api.conftest import Recorder
from tests.api.fake_backend import STRANGER, FakeBackend
from tests.api.test_hot import PLAIN, a_side, settle, taught
from tests.api.test_names import NameService
from tests.api.test_turnstile import settle_once

if TYPE_CHECKING:
    from tests.api.test_hot import Side

NO_HTTP = b"\x16\x03\x01"


def come(side: Side, *sent: bytes) -> list[socket.socket]:
    """Connections that have said something."""
    clients = []
    for data in sent:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        side.listener.lobby.enter(ours)
        theirs.send(data)
        clients.append(theirs)
    return clients


def told(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except BlockingIOError:
        return b""


async def leave(side: Side, clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()
    await side.listener.stop()
    assert side.bugs == []


async def test_half_a_request_keeps_its_seat_and_is_answered_when_it_is_whole() -> None:
    side = await taught(a_side(hot=True))
    (client,) = come(side, PLAIN[:7])
    (connection,) = side.listener.connections
    seat = connection.front
    for number in range(7, len(PLAIN)):
        client.send(PLAIN[number : number + 1])
        await settle()
    async with asyncio.timeout(5):
        while not (answer := told(client)):
            await settle()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert connection.front is seat, "no transport was made, and no parser"
    assert not connection.unfinished
    await leave(side, [client])


async def test_a_pipeline_of_known_requests_is_answered_in_order_each_counting_as_one() -> None:
    side = await taught(a_side(hot=True, limits=Limits(rate_per_second=1.0)))
    (client,) = come(side, b"")
    (connection,) = side.listener.connections
    tokens = connection.share.tokens
    client.send(PLAIN * 10)
    answer = b""
    async with asyncio.timeout(5):
        while answer.count(b"HTTP/1.1 200 OK") < 10:
            answer += told(client)
            await settle()
    assert connection.share.tokens < tokens - 8
    await leave(side, [client])


async def test_a_stop_loses_no_request_of_a_pipeline_that_was_read() -> None:
    side = await taught(a_side(hot=True))
    (client,) = come(side, PLAIN * 10)
    loop = asyncio.get_running_loop()
    answer = await asyncio.wait_for(loop.sock_recv(client, 65536), 5)
    stopping = loop.create_task(side.listener.stop())
    async with asyncio.timeout(10):
        while data := await loop.sock_recv(client, 65536):
            answer += data
    assert answer.count(b"HTTP/1.1 200 OK") == 10
    await stopping
    client.close()


async def test_where_no_descriptor_is_left_for_a_crowd_its_first_connection_is_closed() -> None:
    side = a_side(hot=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours, theirs = socket.socketpair()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))  # noqa: PTH208
    spare = []
    try:
        with suppress(OSError):
            while True:
                spare.append(os.dup(ours.fileno()))
        side.listener.lobby.enter(ours)
    finally:
        for number in spare:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert theirs.recv(1) == b""
    assert len(side.listener.connections) == 0
    await leave(side, [theirs])


async def test_so_many_of_a_crowd_are_thrown_out_at_once_and_the_others_one_after_the_other() -> None:
    side = a_side(hot=True, limits=Limits(tick_seconds=3600))
    clients = come(side, *[NO_HTTP] * (REFUSALS_AT_ONCE + 3))
    loop = asyncio.get_running_loop()
    gone: list[float] = []
    async with asyncio.timeout(20):
        while len(gone) < len(clients):
            answered = sum(told(client).startswith(b"HTTP/1.1 400 ") for client in clients)
            gone += [loop.time()] * answered
            await settle()
    assert gone[-1] - gone[REFUSALS_AT_ONCE - 1] >= 2 * REFUSAL_SECONDS
    await leave(side, clients)


async def test_who_hangs_up_while_it_waits_to_be_thrown_out_is_forgotten() -> None:
    side = a_side(hot=True, limits=Limits(tick_seconds=3600))
    clients = come(side, *[NO_HTTP] * (REFUSALS_AT_ONCE + 3))
    await settle()
    for client in clients:
        client.close()
    async with asyncio.timeout(10):
        while len(side.listener.connections):
            await settle()
    await leave(side, [])


async def test_the_crowd_that_cost_least_comes_first_and_all_are_equal_again_a_second_later() -> None:
    crowds = Crowds(asyncio.get_running_loop(), lambda _seat, _refusal: None)
    cheap, dear = crowds.of(1), crowds.of(2)
    assert crowds.of(1) is cheap
    cheap.spent_seconds, dear.spent_seconds = 0.001, 0.1
    cheap.seats = dear.seats = 1
    pairs = [socket.socketpair() for _ in range(2)]
    for crowd, (ours, theirs) in zip((dear, cheap), pairs, strict=True):
        crowd.epoll.register(ours, 1)
        theirs.send(b"x")
    assert crowds.ready() == [cheap, dear]
    crowds.tick()
    assert (cheap.spent_seconds, dear.spent_seconds) == (0.0, 0.0)
    cheap.seats = 0
    crowds.tick()
    assert cheap.epoll.closed
    assert crowds.ready() == [dear]
    crowds.close()
    for pair in pairs:
        for end in pair:
            end.close()


def by_name() -> tuple[Side, NameService]:
    """A broker that must ask who this user is, of a name service that does not answer yet."""
    side, service = a_side(hot=True), NameService()
    side.backend.policy = AccessPolicy(own_uid=STRANGER, tickets={"front-door": ("user:alice",)})
    service.hung = {os.getuid()}
    side.listener.connections.names = Names(asyncio.get_running_loop().time, service)
    return side, service


async def test_who_waited_for_the_same_name_is_answered_one_by_one() -> None:
    side, service = by_name()
    clients = come(side, *[PLAIN] * 30)
    connections = list(side.listener.connections)
    async with asyncio.timeout(5):
        while sum(connection.in_flight is not None for connection in connections) < 30:
            await settle()
        service.released.set()
        most, left = 0, 30
        while left:
            await settle_once()
            now = sum(connection.in_flight is not None for connection in connections)
            most, left = max(most, left - now), now
    assert most <= 2, "all at once hold the loop for as long as all of them take"
    await leave(side, clients)


async def test_a_body_that_nobody_reads_yet_is_not_taken_in() -> None:
    side, service = by_name()
    (client,) = come(side, b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    taken, unchanged = 0, 0
    while unchanged < 5 and taken < 200_000:
        unchanged += 1
        with suppress(BlockingIOError):
            while True:
                taken += client.send(b"400\r\n" + b"a" * 1024 + b"\r\n")
                unchanged = 0
        await settle()
    assert taken < 50_000, "aiohttp would take 128 KiB of each who waits"
    service.released.set()
    await leave(side, [client])


async def test_what_the_general_path_does_for_somebody_is_taken_from_the_time_of_its_crowd() -> None:
    side = a_side(hot=True)
    (client,) = come(side, PLAIN[:7])
    crowd = side.listener.lobby._crowds.of(os.getuid())
    spent_seconds = crowd.spent_seconds
    client.send(PLAIN[7:])
    async with asyncio.timeout(5):
        while not told(client):
            await settle()
    assert crowd.spent_seconds - spent_seconds >= MOVE_SECONDS
    await leave(side, [client])


async def test_of_answers_that_a_client_leaves_no_room_for_little_is_kept() -> None:
    side = a_side(hot=True)
    (client,) = come(side, PLAIN)
    (connection,) = side.listener.connections
    async with asyncio.timeout(5):
        while not told(client):
            await settle()
    assert isinstance(connection.transport, asyncio.WriteTransport)
    assert connection.transport.get_write_buffer_limits()[1] == UNSENT_BYTES
    await leave(side, [client])


async def test_when_a_crowd_has_gone_it_is_said_once() -> None:
    calm = list[int]()
    listener = Listener(
        FakeBackend(),
        [],
        events=Recorder(),
        on_bug=lambda _: None,
        on_calm=lambda: calm.append(len(listener.connections)),
    )
    listener.start()
    for here, said in ((CROWD - 1, 0), (CROWD, 1), (CROWD, 1)):  # the last within CALM_SECONDS
        ends = [socket.socketpair() for _ in range(here)]
        for ours, _ in ends:
            listener.lobby.enter(ours)
        listener._tick()
        for _, theirs in ends:
            theirs.close()
        while len(listener.connections):
            await settle()
        listener._tick()
        listener._tick()
        assert len(calm) == said
    await listener.stop()
