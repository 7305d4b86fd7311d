"""What the headers of an answer tell, and what of its text is fit for a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.answer import HttpAnswer, number, plain_text

DATE = "Wed, 18 Nov 2026 12:00:00 GMT"
SECONDS = 1_795_003_200.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"date": DATE}, SECONDS),
        ({"date": DATE, "age": "30"}, SECONDS + 30),
        ({"date": DATE, "age": "-30"}, SECONDS),
        ({"date": DATE, "age": "much"}, SECONDS),
        ({"date": DATE, "age": "99999999999"}, SECONDS),
        ({"date": "Wednesday, 18-Nov-26 12:00:00 GMT"}, SECONDS),
        ({"date": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"date": "noon"}, None),
        ({}, None),
    ],
)
def test_the_servers_clock_is_its_date_plus_age(headers: dict[str, str], seconds: float | None) -> None:
    assert HttpAnswer(200, headers).server_seconds() == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "9999999999"}, 86_400),
        ({"retry-after": "Wed, 18 Nov 2026 12:00:42 GMT", "date": DATE}, 42),
        ({"retry-after": "Wed, 18 Nov 2026 11:00:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Wed, 18 Nov 2026 12:00:42 GMT"}, None),
        ({"retry-after": "later", "date": DATE}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_comes_as_seconds_or_as_a_date_on_the_servers_own_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert HttpAnswer(503, headers).retry_after_seconds() == seconds


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Bad request", "Bad request"),
        ("The grant has expired.\r\nCorrelation ID: 1\r\n", "The grant has expired"),
        ("see https://evil.example/?code=abc now", "see … now"),
        ("token eyJhbGciOiJSUzI1NiIsImtpZCI6IlgifQ.e30.sig is bad", "token … is bad"),
        ("secret 'hunter2' is wrong", "secret … is wrong"),
        ("code 8f3a9c2b71de is used", "code … is used"),
        ("a\x1b[31mred\x00", "a [31mred"),
        ("x y " * 200, ("x y " * 50).strip()),
        (None, ""),
        (7, ""),
        ("\r\n \r\n", ""),
    ],
)
def test_what_a_server_said_is_made_fit_for_a_message(said: object, told: str) -> None:
    assert plain_text(said) == told


@given(st.text())
def test_no_text_breaks_a_line_of_the_log(said: str) -> None:
    told = plain_text(said)
    assert told.isprintable()
    assert len(told) <= 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3600, 3600),
        ("3600", 3600),
        (" 12.5 ", 12.5),
        (True, None),
        ("1e3", None),
        ("nan", None),
        (None, None),
        ([], None),
    ],
)
def test_a_number_is_read_from_json_or_from_digits(value: object, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/html", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_an_answer_says_whether_it_is_json(content_type: str, is_json: bool) -> None:
    assert HttpAnswer(200, {"content-type": content_type}).is_json is is_json


def test_a_body_nested_too_deep_is_no_json() -> None:
    assert HttpAnswer(200, {}, b"[" * 200_000).json_value() is None
