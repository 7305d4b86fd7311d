"""Heads: where one ends, and which are refused before a parser or a transport is spent on them."""

from __future__ import annotations

import pytest

from broker.api.heads import announces_body, head_length
from broker.api.limits import Limits
from broker.api.problems import RequestRefused

LIMITS = Limits()
LINE = b"GET /healthz HTTP/1.1\r\n"
HEAD = LINE + b"Host: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"", 0),
        (b"G", 0),
        (LINE, 0),
        (HEAD[:-1], 0),
        (HEAD, len(HEAD)),
        (HEAD + b"GET", len(HEAD)),
        (HEAD * 3, len(HEAD)),
        (HEAD + b"\n\x00" * 20_000, len(HEAD)),
        (LINE + b"X: " + b"y" * 8000, 0),
    ],
)
def test_a_head_ends_with_its_empty_line(data: bytes, length: int) -> None:
    assert head_length(data, LIMITS) == length


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01",
        b" " + HEAD,
        b"get / HTTP/1.1\r\n",
        LINE[:-2] + b"\n",
        LINE + b"X: " + b"y" * 8200,
        b"G" * 8200,
        LINE + b"X: y\r\n" * 66,
        LINE + b"X: y\r\n" * 65 + b"\r\n",
        LINE + (b"X: " + b"y" * 4000 + b"\r\n") * 5,
        LINE + (b"X: " + b"y" * 4000 + b"\r\n") * 5 + b"\r\n",
    ],
)
def test_what_is_no_http_or_too_long_is_refused_whether_it_is_whole_or_not(data: bytes) -> None:
    with pytest.raises(RequestRefused, match="not HTTP") as refused:
        head_length(data, LIMITS)
    assert refused.value.status == 400


def test_a_refusal_is_a_new_one_each_time_for_a_constant_would_keep_every_frame() -> None:
    seen = []
    for _ in range(2):
        with pytest.raises(RequestRefused) as refused:
            head_length(b"\x00", LIMITS)
        seen.append(refused.value)
    assert seen[0] is not seen[1]


@pytest.mark.parametrize(
    ("header", "announced"),
    [
        (b"", False),
        (b"Content-Length: 0", False),
        (b"content-length:0", False),
        (b"Content-Length: 1", True),
        (b"CONTENT-LENGTH:10", True),
        (b"Content-Length : 1", True),
        (b"Content-Length: 0\r\nContent-Length: 5", True),
        (b"Transfer-Encoding: chunked", True),
        (b"transfer-encoding : identity", True),
        (b"X-Content-Length: 7", False),
    ],
)
def test_a_body_is_seen_to_follow(header: bytes, announced: bool) -> None:
    assert announces_body(LINE + header + (b"\r\n\r\n" if header else b"\r\n")) is announced
