"""The call-in operation's answers: one row for each row of the table of statuses, and every shape of a ticket."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.answer import HttpAnswer
from broker.core.callin import IssuedTicket, read_lifetime, read_ticket
from broker.errors import (
    GatewayOffline,
    InvalidResponse,
    QuotaExhausted,
    RateLimited,
    TokenRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
    UserActionRequired,
)

NOW = 1_795_000_000
PLANT = "7e7b1b62-0000-4000-8000-000000000001"
JSON = {
    "content-type": "application/json; charset=utf-8",
    "date": format_datetime(datetime.fromtimestamp(NOW, UTC), usegmt=True),
}


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


def answer(status: int, body: Any = None, **headers: str) -> HttpAnswer:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return HttpAnswer(status, {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}, content)


def page(status: int, body: bytes) -> HttpAnswer:
    return answer(status, body, content_type="text/html")


def said(status: int, message: str, **headers: str) -> HttpAnswer:
    return answer(status, {"statusCode": status, "message": message}, **headers)


def units(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"audiovideounits": list(entries)}


def unit(ticket: object, plant: str | None = None) -> dict[str, Any]:
    sender: dict[str, Any] = {"addressType": "addressLocation", "system": "videodoorentry"}
    return {"ticket": ticket, "sender": sender | ({"plant": {"id": plant}} if plant is not None else {})}


def read(given: HttpAnswer, pointer: str | None = None) -> IssuedTicket:
    return read_ticket(given, plant_id=PLANT, ticket_pointer=pointer)


EXPIRED = jwt(iat=NOW - 400, exp=NOW - 1)
KEY = "Access denied due to {} subscription key. Make sure to"
TRY = "Rate limit is exceeded. Try again in 57 seconds."
QUOTA = "Out of call volume quota. Quota will be replenished in "

FAILURES: list[tuple[str, HttpAnswer, type[UpstreamError], float | None]] = [
    ("400 is the operator's", said(400, "Bad request"), UpstreamRejected, None),
    ("406 is the operator's", said(406, "Not acceptable"), UpstreamRejected, None),
    ("430 is the operator's", said(430, "Wrong parameter"), UpstreamRejected, None),
    ("an unexpected 4xx is the operator's", said(418, "teapot"), UpstreamRejected, None),
    ("a missing subscription key is the operator's", said(401, KEY.format("missing")), UpstreamRejected, None),
    ("an invalid subscription key is the operator's", said(401, KEY.format("invalid")), UpstreamRejected, None),
    ("another 401 may heal with a fresh token", said(401, "Unauthorized"), TokenRefused, None),
    ("403 without quota is the operator's", said(403, "Forbidden"), UpstreamRejected, None),
    ("quota in hours", said(403, QUOTA + "07:01:20."), QuotaExhausted, 25280),
    ("quota in days and hours", said(403, QUOTA + "1.07:01:20."), QuotaExhausted, 111_680),
    ("quota in days", said(403, QUOTA + "2.12 days."), QuotaExhausted, 183_168),
    ("quota by header", said(403, "Out of call volume quota.", retry_after="77"), QuotaExhausted, 77),
    ("quota that tells nothing waits an hour", said(403, "Out of call volume quota."), QuotaExhausted, 3600),
    ("quota of ten years waits a week", said(403, QUOTA + "999.0 days"), QuotaExhausted, 604_800),
    ("404 is the gateway", said(404, "Resource not found"), GatewayOffline, None),
    ("404 with a page is the gateway", page(404, b"<html>"), GatewayOffline, None),
    ("408 passes", said(408, "Request timeout"), UpstreamUnavailable, None),
    ("486 passes", said(486, "Busy"), UpstreamUnavailable, None),
    ("500 passes", said(500, "oops"), UpstreamUnavailable, None),
    ("503 says when", said(503, "oops", retry_after="20"), UpstreamUnavailable, 20),
    ("502 with a page passes", page(502, b"<html>bad gateway"), UpstreamUnavailable, None),
    ("a login page of the network passes", answer(511), UpstreamUnavailable, None),
    ("a proxy that wants credentials passes", answer(407), UpstreamUnavailable, None),
    ("429 says when in words", said(429, TRY, retry_after="9"), RateLimited, 57),
    ("429 says when in its header", said(429, "slow down", retry_after="9"), RateLimited, 9),
    ("429 that tells nothing waits a minute", said(429, "slow down"), RateLimited, 60),
    ("469 is the person's", said(469, "expired"), UserActionRequired, None),
    ("470 is the person's", said(470, "terms"), UserActionRequired, None),
    ("a redirect is no answer", answer(302, location="https://portal.example/"), InvalidResponse, None),
    ("401 with a page is not the API's word", page(401, b"<html>"), InvalidResponse, None),
    ("403 with a page is not the API's word", page(403, b"<html>quota"), InvalidResponse, None),
    ("a page is no ticket", page(200, b"<!doctype html>"), InvalidResponse, None),
    ("204 is no ticket", answer(204), InvalidResponse, None),
    ("an empty body is no ticket", answer(200), InvalidResponse, None),
    ("half a document is no ticket", answer(200, b'{"audiovideounits": [{"tick'), InvalidResponse, None),
    ("an empty list is no ticket", answer(200, units()), InvalidResponse, None),
    ("null for the list is no ticket", answer(200, {"audiovideounits": None}), InvalidResponse, None),
    ("a list of nothing is no ticket", answer(200, {"audiovideounits": [None, 7, "x"]}), InvalidResponse, None),
    ("a blank ticket is no ticket", answer(200, units(unit("  "))), InvalidResponse, None),
    ("a number is no ticket", answer(200, units(unit(17))), InvalidResponse, None),
    ("a ticket with a blank inside is none", answer(200, units(unit("a b"))), InvalidResponse, None),
    ("a ticket with a line break inside is none", answer(200, units(unit("a\r\nX: y"))), InvalidResponse, None),
    ("a ticket of 17 KiB is none", answer(200, units(unit("x" * 17_000))), InvalidResponse, None),
    ("a ticket expired by the server's own clock is none", answer(200, units(unit(EXPIRED))), InvalidResponse, None),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "wait"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_a_failure_is_classified(given: HttpAnswer, kind: type[UpstreamError], wait: float | None) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(given)
    assert type(caught.value) is kind
    assert caught.value.retry_after_seconds == wait
    assert (caught.value.service, caught.value.status) == ("issuer", given.status)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Unauthorized", True),
        ("", True),
        ("Access denied due to missing subscription key.", False),
        ("Access denied due to invalid subscription key.", False),
    ],
)
def test_only_a_401_that_does_not_name_the_key_is_worth_a_fresh_token(message: str, refused: bool) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        read(said(401, message))
    assert isinstance(caught.value, TokenRefused) is refused


@pytest.mark.parametrize(
    ("sender", "kept"),
    [
        ('{"a": ' * 15 + "[1]" + "}" * 15, True),
        ('{"a": ' * 500 + "1" + "}" * 500, False),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", False),
        ('{"a": "' + "x" * 20_000 + '"}', False),
        ('{"a": "\\ud800"}', True),
    ],
)
def test_a_sender_that_could_not_be_written_again_is_left_out_and_the_ticket_is_not(sender: str, kept: bool) -> None:
    body = '{"audiovideounits": [{"ticket": "opaque", "sender": ' + sender + "}]}"
    issued = read_ticket(HttpAnswer(200, {"content-type": "application/json"}, body.encode(), ""), plant_id=PLANT)
    assert issued.ticket.reveal() == "opaque"
    assert (issued.sender != {}) is kept


def test_a_ticket_is_read_with_its_times_and_its_sender() -> None:
    text = jwt(iat=NOW, nbf=NOW - 5, exp=NOW + 300)
    issued = read(answer(200, units(unit(text, PLANT)), age="3"))
    assert issued.ticket.reveal() == text
    assert (issued.issued_at, issued.expires_at, issued.server_seconds) == (NOW, NOW + 300, NOW + 3)
    assert issued.sender == unit(text, PLANT)["sender"]


@pytest.mark.parametrize(
    ("entries", "wanted"),
    [
        ([unit("other", "b"), unit("ours", PLANT.upper())], "ours"),
        ([unit("other", "b"), unit("unnamed")], "unnamed"),
        ([unit("other", "b"), unit("another", "c")], "other"),
        ([unit("", PLANT), unit("second", "b")], "second"),
        ([{"ticket": "bare"}], "bare"),
        ([{"ticket": "odd", "sender": {"plant": "text"}}], "odd"),
        ([unit("  padded\n", PLANT)], "padded"),
    ],
)
def test_the_entry_of_our_plant_is_preferred(entries: list[dict[str, Any]], wanted: str) -> None:
    assert read(answer(200, units(*entries))).ticket.reveal() == wanted


@pytest.mark.parametrize(
    ("pointer", "document"),
    [
        ("/data/ticket", {"data": {"ticket": "t"}}),
        ("/0/a~1b/m~0n", [{"a/b": {"m~n": "t"}}]),
        ("/list/1", {"list": ["x", "t"]}),
    ],
)
def test_a_pointer_finds_the_ticket_in_another_shape(pointer: str, document: object) -> None:
    assert read(answer(200, document), pointer).ticket.reveal() == "t"


@pytest.mark.parametrize("pointer", ["/nowhere", "/list/9", "/list/-1", "/list/01", "/data/ticket/deeper", "/list"])
def test_a_pointer_to_nothing_is_no_ticket(pointer: str) -> None:
    with pytest.raises(InvalidResponse, match="nothing usable at"):
        read(answer(200, {"list": ["x"], "data": {"ticket": "t"}}), pointer)


@pytest.mark.parametrize(
    ("claims", "times"),
    [
        ({"iat": NOW, "exp": NOW + 60}, (NOW, NOW + 60)),
        ({"iat": str(NOW), "exp": f"{NOW + 60}.5"}, (NOW, NOW + 60)),
        ({"iat": NOW + 0.7, "exp": NOW + 60.2}, (NOW, NOW + 60)),
        ({"nbf": NOW, "exp": NOW + 60}, (NOW, NOW + 60)),
        ({"exp": NOW + 60}, (None, NOW + 60)),
        ({"iat": NOW}, (NOW, None)),
        ({"iat": NOW, "exp": (NOW + 60) * 1000}, (NOW, None)),
        ({"iat": 0, "exp": NOW + 60}, (None, NOW + 60)),
        ({"iat": True, "exp": "soon"}, (None, None)),
        ({"iat": NOW + 90, "exp": NOW + 60}, (None, NOW + 60)),
        ({"exp": 10**400}, (None, None)),
    ],
)
def test_times_are_read_tolerantly_and_absurd_ones_ignored(
    claims: dict[str, Any], times: tuple[int | None, int | None]
) -> None:
    assert read_lifetime(jwt(**claims)) == times


@pytest.mark.parametrize("ticket", ["opaque", "a.b.c", "a.W10.c", "....", f"a.{'W1tb' * 3000}.c"])
def test_an_opaque_ticket_is_carried_and_tells_no_times(ticket: str) -> None:
    issued = read(answer(200, units(unit(ticket))))
    assert issued.ticket.reveal() == ticket
    assert (issued.issued_at, issued.expires_at) == (None, None)


def test_an_expired_ticket_is_not_judged_without_the_servers_clock() -> None:
    text = jwt(iat=NOW - 400, exp=NOW - 1)
    issued = read(HttpAnswer(200, {"content-type": "application/json"}, json.dumps(units(unit(text))).encode()))
    assert issued.expires_at == NOW - 1


NAMES = st.sampled_from(["audiovideounits", "ticket", "sender", "plant", "id", "message", "error"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(st.sampled_from(["content-type", "date", "age", "retry-after"]), st.text(max_size=30))


@given(st.integers(100, 999), st.binary(max_size=200) | DOCUMENTS, HEADERS)
def test_whatever_the_cloud_says_the_outcome_is_a_ticket_or_an_upstream_error(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    try:
        text = read(HttpAnswer(status, headers, body)).ticket.reveal()
    except UpstreamError as error:
        text = str(error)
    assert text
    assert text.isprintable()
