"""The fast path against the general one: whatever bytes come, in whatever pieces, both say the same."""

from __future__ import annotations

import asyncio
import math
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from broker.api.backend import ReadyTicket
from broker.api.hot import is_whole
from broker.api.limits import Limits
from broker.api.listener import Listener
from broker.core.access import AccessPolicy
from broker.core.vended import Lease
from tests.api.conftest import Broker, Recorder
from tests.api.fake_backend import STRANGER, FakeBackend, ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT_SECONDS = 1000.0
PLAIN = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n\r\n"
TAUGHT = (
    PLAIN,
    b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\nAccept: application/jwt\r\nUser-Agent: a b\r\n\r\n",
    b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
)
PIECES = (
    *TAUGHT,
    PLAIN.replace(b"front-door", b"garage"),
    PLAIN.replace(b"front-door", b"cellar"),
    PLAIN.replace(b"front-door", b"front%2ddoor"),
    PLAIN.replace(b"front-door", b"front-door?min_validity=1"),
    PLAIN.replace(b"front-door", b"front-door/watch?x=1"),
    PLAIN.replace(b"GET", b"POST"),
    PLAIN.replace(b"1.1", b"1.0"),
    PLAIN.replace(b"localhost", b"example.com"),
    PLAIN.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "7"\r\n\r\n'),
    PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
    PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 60\r\n\r\n"),
    PLAIN.replace(b"\r\n\r\n", b"\r\nOrigin: http://a\r\n\r\n"),
    PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    PLAIN.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 1200 + b"\r\n\r\n"),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/tickets HTTP/1.1\r\nHost: localhost\r\n",
    b"\r\n",
    b"\n\n",
    b"X: ",
    b"GET /v1/tickets/front-door HTTP/1.1\r\nAccept: text/plain\r\nX: ",
)


class Talk:
    """A client's end of a connection that is in the lobby."""

    def __init__(self, side: Side) -> None:
        ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        side.sockets.append(self._theirs)
        side.listener.lobby.enter(ours)
        self.closed = False

    async def say(self, chunk: bytes) -> bytes:
        """Send this alone; what is answered."""
        with suppress(BrokenPipeError):
            self._theirs.send(chunk)
        await settle()
        answered = b""
        with suppress(BlockingIOError):
            while data := self._theirs.recv(65536):
                answered += data
            self.closed = True
        return re.sub(rb"\r\nDate: [^\r]*", b"", answered)

    async def hang_up(self) -> None:
        self._theirs.close()
        await settle()


@dataclass
class Side:
    """One listener without a socket, and what it told."""

    backend: FakeBackend
    listener: Listener
    events: Recorder
    lease: Lease
    boot: list[float]
    bugs: list[BaseException] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    async def talk(self, chunks: list[bytes]) -> tuple[bytes, bool]:
        """What is answered to these chunks, each received alone, and whether the connection was closed."""
        talk, answered = Talk(self), b""
        for chunk in chunks:
            if not talk.closed:
                answered += await talk.say(chunk)
        closed = talk.closed
        await talk.hang_up()
        return answered, closed


async def settle() -> None:
    """Let everything that can run without waiting for the world run."""
    loop = asyncio.get_running_loop()
    for _ in range(25):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


def a_side(*, hot: bool, limits: Limits | None = None) -> Side:
    backend, events, boot, lease = FakeBackend(), Recorder(), [BOOT_SECONDS], Lease(BOOT_SECONDS + 200.0)
    backend.policy = AccessPolicy(own_uid=STRANGER, tickets={"front-door": None, "garage": ("uid:4000000002",)})
    side = Side(backend, cast("Listener", None), events, lease, boot)
    if hot:
        backend.ready = lambda name: ReadyTicket(ticket(name), BOOT_SECONDS + 287.5, side.lease)
    side.listener = Listener(
        backend, [], events=events, on_bug=side.bugs.append, limits=limits, boot=lambda: side.boot[0]
    )
    side.listener.start()
    return side


async def taught(side: Side) -> Side:
    for request in TAUGHT:
        await side.talk([request])
    return side


@pytest.fixture
def sides() -> Iterator[list[Side]]:
    made: list[Side] = []
    yield made
    for side in made:
        for sock in side.sockets:
            sock.close()


def asked(side: Side) -> int:
    return sum(call == "ticket" for call, _, _ in side.backend.asked)


def served(side: Side) -> list[str]:
    side.listener.audit.flush()
    return sorted(str((name, facts)) for name, facts in side.events.events)


async def test_a_request_that_is_known_is_answered_without_the_general_path(sides: list[Side]) -> None:
    side = await taught(a_side(hot=True))
    sides.append(side)
    before = asked(side)
    answer, closed = await side.talk([PLAIN, PLAIN])
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert not closed
    assert asked(side) == before


async def test_a_connection_comes_back_to_the_fast_path_after_a_whole_request_of_another_kind(
    sides: list[Side],
) -> None:
    side = await taught(a_side(hot=True))
    sides.append(side)
    before = asked(side)
    await side.talk([PLAIN, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", PLAIN])
    assert asked(side) == before


async def test_a_condition_is_judged_anew_each_time(sides: list[Side]) -> None:
    side = await taught(a_side(hot=True))
    sides.append(side)
    before = asked(side)
    await side.talk([PLAIN.replace(b"\r\n\r\n", b'\r\nIf-None-Match: "8"\r\n\r\n')] * 3)
    assert asked(side) == before + 3


async def test_what_is_taught_for_one_ticket_serves_the_others(sides: list[Side]) -> None:
    side = await taught(a_side(hot=True))
    sides.append(side)
    side.backend.policy = AccessPolicy(own_uid=STRANGER, tickets={"front-door": None, "garage": None})
    before = asked(side)
    answer, _ = await side.talk([PLAIN.replace(b"front-door", b"garage")])
    assert b'"name": "garage"' in answer
    assert asked(side) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda side: side.lease.end(),
        lambda side: side.boot.__setitem__(0, BOOT_SECONDS + 200.0),
        lambda side: setattr(side.backend, "policy", AccessPolicy(own_uid=STRANGER, tickets={"front-door": ()})),
        lambda side: setattr(side.backend, "policy", AccessPolicy(own_uid=STRANGER, tickets={})),
        lambda side: setattr(side.listener._hot, "open", False),
    ],
    ids=["the ticket was replaced", "it is too old", "leave was taken away", "it is no longer configured", "a stop"],
)
async def test_a_change_ends_it_even_within_a_connection(change: Any, sides: list[Side]) -> None:
    fast, slow = await taught(a_side(hot=True)), a_side(hot=False)
    sides += [fast, slow]
    before = asked(fast)
    talk = Talk(fast)
    assert (await talk.say(PLAIN)).startswith(b"HTTP/1.1 200 OK")
    change(fast)
    change(slow)
    fast.backend.ready = None
    expected, _ = await slow.talk([PLAIN])
    assert await talk.say(PLAIN) == expected
    await talk.hang_up()
    assert asked(fast) + sum(e == "request.refused" for e, _ in fast.events.events) > before


async def test_the_rate_limit_holds_on_the_fast_path_too(sides: list[Side]) -> None:
    limits = Limits(rate_per_second=0.001, rate_burst=6.0, hot_requests=2)
    side = await taught(a_side(hot=True, limits=limits))  # spends 3 of the 6
    sides.append(side)
    answer, _ = await side.talk([PLAIN] * 8)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert answer.count(b"HTTP/1.1 429 ") == 1
    assert answer.endswith(b'"retry_after": 1000}'), "and then the connection is closed"


async def test_expires_in_is_counted_anew_as_the_clock_goes_on(sides: list[Side]) -> None:
    side = await taught(a_side(hot=True))
    sides.append(side)
    told = []
    for boot in (0.0, 0.4, 0.6, 1.4, 1.6):
        side.boot[0] = BOOT_SECONDS + boot
        answer, _ = await side.talk([PLAIN])
        told.append(int(answer.partition(b'"expires_in": ')[2].partition(b",")[0]))
    assert told == [287, 287, 286, 286, 285]


async def test_where_a_unit_counts_no_connection_inherits_what_another_was_granted(broker: Broker) -> None:
    rules: dict[str, tuple[str, ...] | None] = {"front-door": None, "garage": ("unit:sip-gateway.service",)}
    broker.backend.policy = AccessPolicy(own_uid=STRANGER, tickets=rules)
    broker.backend.ready = lambda name: ReadyTicket(ticket(name), 1e12, Lease(math.inf))
    for connections in (1, 2):
        reader, writer = await asyncio.open_unix_connection(broker.path)
        for _ in range(3):
            writer.write(PLAIN)
            assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}}")
        writer.close()
        await writer.wait_closed()
        assert sum(call == "ticket" for call, _, _ in broker.backend.asked) == connections


async def test_one_uid_teaches_at_most_so_many_blocks_and_the_newest_stay(sides: list[Side]) -> None:
    side = a_side(hot=True)
    sides.append(side)
    for number in range(40):
        await side.talk([PLAIN.replace(b"\r\n\r\n", b"\r\nX-Number: %d\r\n\r\n" % number)])
    (blocks,) = side.listener._hot._blocks.values()
    assert len(blocks) == 16
    before = asked(side)
    await side.talk([PLAIN.replace(b"\r\n\r\n", b"\r\nX-Number: 39\r\n\r\n")])
    assert asked(side) == before


def cut(data: bytes, points: list[int]) -> list[bytes]:
    marks = sorted({point % (len(data) + 1) for point in points} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(marks)]


@st.composite
def conversations(draw: Any) -> list[bytes]:
    """Requests, most of them known, whole or cut anywhere, glued together, and now and then with a byte changed."""
    chunks: list[bytes] = []
    for _ in range(draw(st.integers(1, 5))):
        data = b"".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=2)))
        if draw(st.integers(0, 3)) == 0:
            place = draw(st.integers(0, len(data) - 1))
            data = data[:place] + draw(st.binary(max_size=2)) + data[place + draw(st.integers(0, 1)) :]
        chunks += cut(data, draw(st.lists(st.integers(0, 5000), max_size=2))) or [b"\r\n"]
    return chunks


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example([PLAIN[:20], PLAIN[20:], PLAIN])
@example([PLAIN + PLAIN[:9], PLAIN[9:], PLAIN])
@example([PLAIN[:-2] + b"X: ", PLAIN, PLAIN])
@example([PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 60\r\n\r\n"), PLAIN, PLAIN])
@example([b"\n\n" + PLAIN, PLAIN])
@example([b"GET /v1/tickets/front-door HTTP/1.1\r\nAccept: text/plain\r\nX: ", PLAIN, PLAIN])
@example([PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), PLAIN])
@example([PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"), PLAIN])
@given(conversations())
def test_both_paths_answer_any_bytes_in_any_pieces_alike(chunks: list[bytes]) -> None:
    async def compare() -> None:
        fast, slow = a_side(hot=True), a_side(hot=False)
        try:
            for side in (fast, slow):
                await taught(side)
            assert await fast.talk(chunks) == await slow.talk(chunks)
            assert served(fast) == served(slow)
            assert fast.bugs == slow.bugs == []
        finally:
            for side in (fast, slow):
                await side.listener.stop()
                for sock in side.sockets:
                    sock.close()

    asyncio.run(compare())


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (PLAIN, True),
        (PLAIN + b"\r\n", False),
        (PLAIN[:-1], False),
        (PLAIN * 2, False),
        (b"GET / HTTP/1.1\n\nGET / HTTP/1.1\r\n\r\n", False),
        (PLAIN.replace(b"host", b"\r"), False),
        (PLAIN[:-4] + b"\rX\r\n\r\n", False),
        (PLAIN.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 1024 + b"\r\n\r\n"), False),
        (b"", False),
    ],
)
def test_a_whole_head_is_one_whoever_reads_it(data: bytes, whole: bool) -> None:
    assert is_whole(data) is whole
