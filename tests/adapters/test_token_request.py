"""The session that MSAL and Authlib are given: one request, our credentials, and nothing for their logs."""

from __future__ import annotations

import base64
import logging
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from broker.adapters.b2c import B2cProvider
from broker.adapters.metadata import Metadata
from broker.adapters.oidc import OidcProvider
from broker.adapters.token_request import TokenSession
from broker.core.answer import HttpAnswer
from broker.core.secret import Secret
from broker.errors import InvalidResponse
from tests.adapters.accounts import account
from tests.adapters.clocks import HandClock
from tests.adapters.scripted_http import ScriptedHttp, json_answer

AUTHORITY, TOKEN = "https://id.example/t/p", "https://id.example/t/p/token"
DOCUMENT = {
    "issuer": AUTHORITY,
    "authorization_endpoint": f"{AUTHORITY}/authorize",
    "token_endpoint": TOKEN,
    "jwks_uri": f"{AUTHORITY}/keys",
}
GOOD = json_answer({"id_token": "h.c.s", "refresh_token": "r2"})


def scripted(answer: HttpAnswer) -> ScriptedHttp:
    http = ScriptedHttp()
    http.answers[TOKEN] = answer
    for suffix in ("", "/v2.0"):
        http.answers[f"{AUTHORITY}{suffix}/.well-known/openid-configuration"] = json_answer(DOCUMENT)
    return http


def provider(
    kind: str, http: ScriptedHttp, secret: str | None = None, method: str | None = None
) -> OidcProvider | B2cProvider:
    made = account(kind, AUTHORITY, "app id", secret)
    made = replace(made, oauth=replace(made.oauth, client_auth=method))  # type: ignore[arg-type]
    cls = B2cProvider if kind == "b2c" else OidcProvider
    return cls(made, http, Metadata(made, http, HandClock()))


@pytest.mark.parametrize("kind", ["oidc", "b2c"])
def test_basic_credentials_are_form_encoded_first(kind: str) -> None:
    http = scripted(GOOD)
    provider(kind, http, "p+s/s:w ö", "basic").refresh(Secret("r1"))
    sent = http.requests[-1]
    pair = base64.b64decode(sent.headers["Authorization"].removeprefix("Basic ")).decode()
    assert pair == "app+id:p%2Bs%2Fs%3Aw+%C3%B6"
    assert b"secret" not in (sent.body or b"")


@pytest.mark.parametrize("kind", ["oidc", "b2c"])
def test_posted_credentials_survive_their_special_letters(kind: str) -> None:
    http = scripted(GOOD)
    provider(kind, http, "p+s/s:w ö&x=y", "post").refresh(Secret("r1+/=&"))
    form = parse_qs((http.requests[-1].body or b"").decode())
    assert form["client_secret"] == ["p+s/s:w ö&x=y"]
    assert form["refresh_token"] == ["r1+/=&"]
    assert form["client_id"] == ["app id"]
    assert "Authorization" not in http.requests[-1].headers


@pytest.mark.parametrize("kind", ["oidc", "b2c"])
def test_no_body_reaches_a_librarys_log(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    page = HttpAnswer(200, {"content-type": "text/html"}, b"<html>the-refresh-token</html>")
    with pytest.raises(InvalidResponse, match="a web page instead of JSON"):
        provider(kind, scripted(page)).refresh(Secret("the-refresh-token"))
    assert "the-refresh-token" not in caplog.text


def test_a_second_token_request_is_a_bug() -> None:
    session = TokenSession(scripted(GOOD), token_params={})
    session.post(TOKEN, data={"a": "b"})
    with pytest.raises(AssertionError, match="second token request"):
        session.post(TOKEN, data={"a": "b"})
