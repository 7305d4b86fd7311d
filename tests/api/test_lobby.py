"""The lobby: what a connection asks there is answered whole, in order, and nobody is kept out for long."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest

from broker.api.front import Front
from broker.api.limits import Limits
from broker.api.lobby import LOOK_SECONDS, Lobby
from broker.api.turnstile import Turnstile
from tests.api.conftest import Broker, serving
from tests.api.test_hot import PLAIN, Talk, a_side, settle, taught
from tests.api.test_turnstile import settle_once

if TYPE_CHECKING:
    from pathlib import Path

ASKED = 60


async def test_what_a_slow_reader_leaves_no_room_for_is_sent_later_whole_and_in_order() -> None:
    side = await taught(a_side(hot=True))
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.setblocking(False)
    side.listener.lobby.enter(ours)
    connection = next(iter(side.listener.connections))
    seat = connection.front
    for _ in range(ASKED):
        theirs.send(PLAIN)
        await settle()
    assert connection.front is not seat, "it moved to a transport, which keeps what is unsent"
    answered = b""
    async with asyncio.timeout(10):
        while answered.count(b"HTTP/1.1 200 OK\r\n") < ASKED or not answered.endswith(b"}}"):
            with suppress(BlockingIOError):
                answered += theirs.recv(65536)
            await settle()
    assert answered.count(b'"name": "front-door"') == ASKED
    theirs.close()
    await settle()
    await side.listener.stop()
    assert side.bugs == []


async def test_a_known_request_moves_nobody_and_the_first_other_one_does() -> None:
    side = await taught(a_side(hot=True))
    talk = Talk(side)
    connection = next(iter(side.listener.connections))
    seat = connection.front
    assert (await talk.say(PLAIN)).startswith(b"HTTP/1.1 200 OK")
    assert connection.front is seat
    assert (await talk.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert connection.front is not seat
    await talk.hang_up()
    assert len(side.listener.connections) == 0
    await side.listener.stop()


@pytest.mark.parametrize("request_bytes", [PLAIN, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_who_says_that_nothing_follows_is_answered_first(broker: Broker, request_bytes: bytes) -> None:
    for _ in range(3):
        assert (await broker.raw(request_bytes, half_close=True)).startswith(b"HTTP/1.1 200 OK")


async def test_who_hangs_up_at_once_leaves_nothing_behind(folder: Path) -> None:
    async with serving(folder, Limits(tick_seconds=0.01)) as broker:
        for _ in range(100):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(broker.path))
            client.close()
        assert (await broker.json("GET", "/healthz"))[0] == 200
        async with asyncio.timeout(5):
            while len(broker.listener.connections) > 1:
                await settle()
        assert len(broker.listener.lobby._seats) == 0


async def test_who_has_hung_up_is_made_no_transport_unless_it_asked_for_a_change(folder: Path) -> None:
    async with serving(folder) as broker:
        lobby = broker.listener.lobby
        moved = []
        for line in (b"GET /healthz", b"POST /v1/reload"):
            ours, theirs = socket.socketpair()
            lobby.enter(ours)
            (connection,) = broker.listener.connections
            theirs.send(line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            seat = connection.front
            theirs.close()
            while len(broker.listener.connections):
                await settle_once()
                if connection.front is not seat and line not in moved:
                    moved.append(line)
        assert moved == [b"POST /v1/reload"]


async def test_a_crowd_that_talks_without_end_keeps_nobody_from_coming_in(folder: Path) -> None:
    """Whatever a look takes: here its time is over as soon as it begins."""
    async with serving(folder) as broker:
        general, path = broker.listener, folder / "other.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        lobby = Lobby(
            asyncio.get_running_loop(),
            general.connections,
            general._hot,
            server=general._server,
            shelter=general._shelter,
            turnstile=Turnstile(asyncio.get_running_loop()),
            clock=count(step=2 * LOOK_SECONDS).__next__,
        )
        lobby.open([listening])
        talkers = []
        for _ in range(4):  # of whom a look hears one
            ours, theirs = socket.socketpair()
            lobby.enter(ours)
            theirs.send(b"GET /healthz")
            talkers.append(theirs)
        comer = socket.socket(socket.AF_UNIX)
        comer.connect(str(path))
        async with asyncio.timeout(5):
            while len(general.connections) <= len(talkers):
                for each in talkers:
                    each.send(b"z")
                await settle_once()
        for each in (comer, *talkers):
            each.close()
        while len(general.connections):
            await settle()
        lobby.accept_no_more()
        lobby.close()
        listening.close()


class Exhausted(socket.socket):
    """A listening socket for which there is no descriptor the first time."""

    failures = 1

    def accept(self) -> tuple[socket.socket, str]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


@pytest.mark.slow
async def test_where_descriptors_ran_out_it_says_so_and_accepts_again_a_moment_later(folder: Path) -> None:
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    async with serving(folder) as broker:
        listening = Exhausted(socket.AF_UNIX)
        listening.bind(str(folder / "other.sock"))
        listening.listen()
        listening.setblocking(False)
        general = broker.listener
        lobby = Lobby(
            loop,
            general.connections,
            general._hot,
            server=general._server,
            shelter=general._shelter,
            turnstile=Turnstile(loop),
            clock=loop.time,
        )
        lobby.open([listening])
        reader, writer = await asyncio.open_unix_connection(folder / "other.sock")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        assert told == ["socket.accept() out of system resource"]
        writer.close()
        await writer.wait_closed()
        lobby.accept_no_more()
        lobby.close()
        listening.close()


async def test_a_seat_that_is_closed_twice_takes_nobody_elses_place() -> None:
    side = a_side(hot=True)
    lobby = side.listener.lobby
    ours, theirs = socket.socketpair()
    lobby.enter(ours)
    (first,) = side.listener.connections
    number, seat = ours.fileno(), first.transport
    seat.close()
    again, other = socket.socketpair()
    assert again.fileno() == number, "the kernel gives the lowest free number"
    lobby.enter(again)
    seat.close()
    assert len(side.listener.connections) == len(lobby._seats) == 1
    theirs.close()
    other.close()
    await settle()
    await side.listener.stop()


@pytest.mark.parametrize("more", [b"", b"no header\r\n"])
async def test_a_front_that_is_closed_is_gone_without_the_collector(more: bytes) -> None:
    side = a_side(hot=True)
    gc.disable()  # what is alive at a full collection is frozen: a cycle would stay for ever
    try:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        side.listener.lobby.enter(ours)
        before = fronts()
        theirs.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n")
        async with asyncio.timeout(5):
            answer = await loop.sock_recv(theirs, 65536)
            assert answer.startswith(b"HTTP/1.0 400 " if more else b"HTTP/1.1 200 ")
            theirs.close()
            while fronts() > before:
                await settle()
    finally:
        gc.enable()
    await side.listener.stop()


async def test_who_hangs_up_while_others_have_their_turn_is_gone_without_the_collector() -> None:
    side = a_side(hot=True)
    lobby = side.listener.lobby
    gc.disable()
    try:
        before = fronts()
        for _ in range(20):
            lobby._turnstile.later(0, lambda: None)
        ours, theirs = socket.socketpair()
        lobby.enter(ours)
        theirs.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while fronts() == before:
            await settle_once()
        theirs.close()
        async with asyncio.timeout(5):
            while len(side.listener.connections):
                await settle()
        assert fronts() == before
    finally:
        gc.enable()
    await side.listener.stop()


def fronts() -> int:
    return sum(isinstance(each, Front) for each in gc.get_objects())
