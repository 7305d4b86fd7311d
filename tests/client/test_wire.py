"""The HTTP framing, however the bytes are cut."""

from __future__ import annotations

import pytest

from broker.client.problems import Unreachable
from broker.client.wire import HEAD_LIMIT_BYTES, Reply

from .fake_daemon import chunked

SIZED = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nX: y\r\n\r\nhello"
CHUNKED = chunked(b"he", b"l", b"lo")


@pytest.mark.parametrize("answer", [SIZED, CHUNKED], ids=["sized", "chunked"])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_an_answer_is_the_same_however_it_is_cut(answer: bytes, step: int) -> None:
    reply = Reply()
    for start in range(0, len(answer), step):
        assert not reply.complete or answer[start:] in (b"\r\n", b"\n")  # the last chunk's own end tells nothing
        reply.feed(answer[start : start + step])
    assert (reply.complete, reply.status, reply.take()) == (True, 200, b"hello")


@pytest.mark.parametrize("answer", [SIZED, CHUNKED], ids=["sized", "chunked"])
def test_an_answer_cut_short_anywhere_is_never_complete(answer: bytes) -> None:
    for length in range(len(answer) - 5):
        reply = Reply()
        with pytest.raises(Unreachable, match="before its answer was complete"):  # noqa: PT012
            if length:
                reply.feed(answer[:length])
            reply.feed(b"")


def test_an_endless_head_is_given_up() -> None:
    with pytest.raises(Unreachable, match="does not speak HTTP"):
        Reply().feed(b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_LIMIT_BYTES)


def test_304_has_no_body_even_where_it_announces_one() -> None:
    reply = Reply()
    reply.feed(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
    assert reply.complete
