"""Turns: so many turns of the loop do one step and no more, users take turns, nobody is forgotten."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

from broker.api.limits import Limits
from broker.api.turnstile import Turnstile
from tests.api.test_hot import a_side, settle

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


async def test_one_passes_in_so_many_turns_and_those_of_one_user_in_the_order_of_coming() -> None:
    loop = asyncio.get_running_loop()
    turnstile, passed, others = Turnstile(loop, 3), list[int](), list[int]()

    async def come(number: int) -> None:
        await turnstile.enter(1)
        passed.append(number)

    def somebody_else() -> None:
        others.append(len(passed))
        if len(passed) < 20:
            loop.call_soon(somebody_else)

    tasks = [loop.create_task(come(number)) for number in range(20)]
    loop.call_soon(somebody_else)
    await asyncio.wait(tasks)
    assert passed == list(range(20))
    assert all(others.count(number) == 3 for number in range(2, 19))


async def test_a_user_who_comes_once_does_not_wait_behind_all_steps_of_another() -> None:
    turnstile, done = Turnstile(asyncio.get_running_loop(), 1), list[int]()
    for uid in [1] * 50 + [2]:
        turnstile.later(uid, partial(done.append, uid))
    while len(done) < 51:
        await settle()
    assert done[:3] == [1, 2, 1]


async def test_who_leaves_the_queue_stops_nobody() -> None:
    loop = asyncio.get_running_loop()
    turnstile = Turnstile(loop, 1)
    await turnstile.enter(1)
    tasks = [loop.create_task(turnstile.enter(1)) for _ in range(5)]
    await asyncio.wait(tasks, timeout=0, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[1::2]:
        task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True, False, True, False]


async def test_who_sends_much_is_read_again_only_when_it_is_its_turn() -> None:
    side = a_side(hot=True)
    ours, theirs = socket.socketpair()
    side.listener.lobby.enter(ours)
    connection = next(iter(side.listener.connections))
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    theirs.send(HEAD + b"\r\n")
    assert (await asyncio.wait_for(loop.sock_recv(theirs, 65536), 5)).startswith(b"HTTP/1.1 200 ")
    transport = connection.transport
    assert isinstance(transport, asyncio.ReadTransport)
    theirs.send(HEAD + b"X-Filler: " + b"x" * 1500)
    async with asyncio.timeout(5):
        while transport.is_reading():
            await settle_once()
        while not transport.is_reading():
            await settle_once()
    theirs.send(b"\r\n\r\n")
    assert (await asyncio.wait_for(loop.sock_recv(theirs, 65536), 5)).startswith(b"HTTP/1.1 200 ")
    theirs.close()
    await side.listener.stop()


async def test_who_asks_too_often_is_told_so_without_a_transport() -> None:
    side = a_side(hot=True, limits=Limits(rate_per_second=0.001, rate_burst=1.0))
    ends = [socket.socketpair() for _ in range(2)]
    for ours, _ in ends:
        side.listener.lobby.enter(ours)
    first, second = side.listener.connections
    seats = {first.front, second.front}
    answers = []
    for _, theirs in ends:
        theirs.setblocking(False)
        theirs.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers.append(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 65536), 5))
    assert [answer[9:12] for answer in answers] == [b"200", b"429"]
    assert len(seats & {first.front, second.front}) == 1
    for _, theirs in ends:
        theirs.close()
    await side.listener.stop()


async def settle_once() -> None:
    """One turn of the loop."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn
