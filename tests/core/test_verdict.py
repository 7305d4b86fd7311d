"""The token endpoint's answers and the redirect's errors: a row for each that is known, and for the unforeseen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.answer import HttpAnswer
from broker.core.verdict import b2c_code, classify, login_rejection, read_tokens
from broker.errors import (
    GrantRejected,
    InvalidResponse,
    LoginRejected,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)

DATE = "Wed, 18 Nov 2026 12:00:00 GMT"
JSON = {"content-type": "application/json; charset=utf-8", "date": DATE}
TAIL = "\r\nCorrelation ID: 5e1f9c1e-0000-4000-8000-000000000000\r\nTimestamp: 2026-11-18 12:00:00Z\r\n"


def answer(status: int, body: Any = None, **headers: str) -> HttpAnswer:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return HttpAnswer(status, {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}, content)


def refused(error: str, code: int | None = None, status: int = 400) -> HttpAnswer:
    text = f"AADB2C{code}: Something is not as it should be.{TAIL}" if code else "Something."
    return answer(status, {"error": error, "error_description": text})


GRANT, FIX, LATER, INVALID = GrantRejected, UpstreamRejected, UpstreamUnavailable, InvalidResponse
INVALID_GRANT = {"error": "invalid_grant", "error_description": f"AADB2C90080: The provided grant has expired.{TAIL}"}
PAGE = b"<!doctype html><title>Welcome to our wifi</title>"

ROWS: list[tuple[str, HttpAnswer, type[UpstreamError], bool]] = [
    ("an expired grant", answer(400, INVALID_GRANT), GRANT, False),
    ("a revoked grant", refused("invalid_grant", 90129), GRANT, False),
    ("an account that is gone", refused("invalid_grant", 90128), GRANT, False),
    ("a grant of another application", refused("invalid_grant", 90088), GRANT, False),
    ("a grant of another kind", refused("invalid_grant", 90087), GRANT, False),
    ("a grant rejected without a code", refused("invalid_grant"), GRANT, False),
    ("a grant rejected with 401", refused("invalid_grant", status=401), GRANT, False),
    ("a code that makes invalid_request a matter of the grant", refused("invalid_request", 90080), GRANT, False),
    ("an unknown error with a known code", refused("b2c_says_no", 90080), GRANT, False),
    ("a person wanted", refused("interaction_required"), GRANT, False),
    ("a wrong secret", refused("invalid_client", 90081), FIX, False),
    ("a wrong secret with 401", refused("invalid_client", status=401), FIX, False),
    ("a client that may not", refused("unauthorized_client"), FIX, False),
    ("a wrong redirect URI", refused("redirect_uri_mismatch", 90006), FIX, False),
    ("a secret that is missing", refused("invalid_request", 90079), FIX, False),
    ("a secret that is not allowed", refused("invalid_request", 90084), FIX, False),
    ("an application that was disabled", refused("invalid_request", 90092), FIX, False),
    *[(f"the operator's {code}", refused("invalid_request", code), FIX, False) for code in range(90007, 90019)],
    *[
        (f"the operator's {code}", refused("odd", code), FIX, False)
        for code in (90055, 90058, 90068, 90107, 90115, 90117)
    ],
    *[(f"temporary {code}", refused("server_error", code), LATER, False) for code in (90035, 90048, 90085)],
    ("a temporary code that spares the grant", refused("invalid_grant", 90085), LATER, False),
    ("a temporary error", refused("temporarily_unavailable"), LATER, False),
    ("408", answer(408, INVALID_GRANT), LATER, True),
    ("500 whatever its body says", answer(500, INVALID_GRANT), LATER, True),
    ("503", answer(503), LATER, True),
    ("504 with a page", answer(504, PAGE, content_type="text/html"), LATER, True),
    ("407", answer(407, INVALID_GRANT), LATER, False),
    ("511", answer(511, PAGE, content_type="text/html"), LATER, False),
    ("429", answer(429, {"error": "invalid_grant"}), RateLimited, False),
    ("200 with a page", answer(200, PAGE, content_type="text/html"), INVALID, True),
    ("200 with a page that calls itself JSON", answer(200, PAGE), INVALID, True),
    ("200 with nothing in it", answer(200, {}), INVALID, True),
    ("200 with half of it", answer(200, b'{"id_token": "ey'), INVALID, True),
    ("200 with a list", answer(200, ["id_token"]), INVALID, True),
    ("200 with an empty token", answer(200, {"id_token": " ", "access_token": None}), INVALID, True),
    ("204", answer(204), INVALID, True),
    ("a redirect", answer(302, location="https://portal.example/login"), INVALID, False),
    ("a redirect with a verdict in it", answer(307, INVALID_GRANT), INVALID, False),
    ("a verdict that calls itself a page", answer(400, INVALID_GRANT, content_type="text/html"), INVALID, False),
    ("a verdict that calls itself text", answer(400, INVALID_GRANT, content_type="text/plain"), INVALID, False),
    ("a verdict that is no object", answer(400, ["invalid_grant"]), INVALID, False),
    ("a verdict cut short", answer(400, b'{"error": "invalid_grant", "err'), INVALID, False),
    ("an error nobody knows", refused("you_are_unlucky"), INVALID, False),
    ("an error that is no text", answer(400, {"error": {"code": "invalid_grant"}}), INVALID, False),
    ("404 with a page", answer(404, PAGE, content_type="text/html"), INVALID, False),
    ("403 without a verdict", answer(403, {"message": "no"}), INVALID, False),
]


@pytest.mark.parametrize(("given", "kind", "ambiguous"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_answer_is_judged(given: HttpAnswer, kind: type[UpstreamError], ambiguous: bool) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_tokens(given, service="token endpoint")
    assert type(caught.value) is kind
    assert getattr(caught.value, "ambiguous", False) is ambiguous
    assert (caught.value.service, caught.value.status) == ("token endpoint", given.status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "30"}, 30),
        ({"retry_after": "Wed, 18 Nov 2026 12:00:42 GMT"}, 42),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_how_long_to_wait_is_passed_on(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert classify(answer(status, **headers), service="token endpoint").retry_after_seconds == seconds


def test_the_message_names_error_and_code_and_nothing_that_could_be_a_secret() -> None:
    text = (
        f"AADB2C90081: The secret 'hunter2' at https://x.example/?s=hunter2 for hunter2hunter2hunter2 is wrong.{TAIL}"
    )
    error = classify(answer(400, {"error": "invalid_client", "error_description": text}), service="token endpoint")
    assert str(error) == (
        "token endpoint refused the application (invalid_client, AADB2C90081): The secret … at … for … is wrong"
    )
    assert error.hint is not None
    assert "secret" in error.hint


def test_an_error_name_that_is_no_name_is_not_repeated() -> None:
    error = classify(answer(400, {"error": "eyJ\r\nX: y"}), service="token endpoint")
    assert "eyJ" not in str(error)
    assert str(error).isprintable()


def test_b2cs_answer_without_access_token_is_accepted() -> None:
    tokens = read_tokens(
        answer(
            200,
            {
                "id_token": "h.c.s",
                "token_type": "Bearer",
                "not_before": 1632418122,
                "client_info": "e30",
                "scope": "",
                "refresh_token": "r",
                "refresh_token_expires_in": 1209600,
            },
            age="2",
        ),
        service="token endpoint",
    )
    assert tokens.id_token is not None
    assert tokens.id_token.reveal() == "h.c.s"
    assert tokens.refresh_token is not None
    assert tokens.refresh_token.reveal() == "r"
    assert tokens.access_token is None
    assert (tokens.access_token_seconds, tokens.refresh_token_seconds) == (None, 1_209_600)
    assert tokens.server_seconds == 1_795_003_202.0


@pytest.mark.parametrize(
    ("fields", "access", "refresh"),
    [
        ({"expires_in": "3600", "refresh_token_expires_in": "86400"}, 3600, 86_400),
        ({"expires_in": 3600.0, "refresh_expires_in": 1800}, 3600, 1800),
        ({"expires_in": "soon", "refresh_expires_in": 0}, None, None),
        ({"expires_in": -1, "refresh_token_expires_in": 10**12}, None, None),
        ({"expires_in": None, "expires_on": "1795000000"}, None, None),
    ],
)
def test_lifetimes_may_be_numbers_text_missing_or_nonsense(
    fields: dict[str, object], access: float | None, refresh: float | None
) -> None:
    tokens = read_tokens(answer(200, {"access_token": "a", **fields}), service="token endpoint")
    assert tokens.id_token is None
    assert (tokens.access_token_seconds, tokens.refresh_token_seconds) == (access, refresh)


def test_a_token_that_came_is_not_thrown_away_for_its_content_type() -> None:
    tokens = read_tokens(answer(200, {"id_token": "h.c.s"}, content_type="text/plain"), service="token endpoint")
    assert tokens.id_token is not None


@pytest.mark.parametrize(
    ("response", "said", "hint"),
    [
        ({"error": "access_denied", "error_description": "AADB2C90091: cancelled.\r\n"}, "cancelled", "log in again"),
        ({"error": "access_denied"}, "cancelled", "log in again"),
        ({"error": "access_denied", "error_description": "AADB2C90118: forgotten"}, "new password", "vendor's own app"),
        ({"error": "server_error"}, "could not do the login now", "few minutes"),
        ({"error": "invalid_scope"}, "invalid_scope", "scopes"),
        ({"error": "invalid_request", "error_description": "AADB2C90006: x"}, "AADB2C90006", "reply URL"),
        ({"error": "unauthorized_client"}, "unauthorized_client", "registration"),
        ({"error": "<script>"}, "unnamed", "log in again"),
    ],
)  # fmt: skip
def test_an_error_redirect_is_told_to_the_person(response: dict[str, str], said: str, hint: str) -> None:
    error = login_rejection(response)
    assert isinstance(error, LoginRejected)
    assert said in str(error)
    assert error.hint is not None
    assert hint in error.hint
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "code"), [("AADB2C90080: x", 90080), ("x (AADB2C99002)", 99002), ("x", None), (None, None)]
)
def test_the_b2c_code_is_found_in_the_description(text: object, code: int | None) -> None:
    assert b2c_code(text) == code


@given(st.integers(100, 999), st.binary(max_size=200), st.sampled_from(["application/json", "text/html", ""]))
def test_no_answer_without_a_json_error_costs_the_login(status: int, body: bytes, content_type: str) -> None:
    error = classify(HttpAnswer(status, {"content-type": content_type}, body), service="token endpoint")
    assert not isinstance(error, GrantRejected | UpstreamRejected)
