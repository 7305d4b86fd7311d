"""Where endpoints come from, how often they are read again, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from broker.adapters.metadata import Metadata, discovery_url
from broker.core.answer import HttpAnswer
from broker.errors import InvalidResponse, UpstreamError, UpstreamRejected, UpstreamUnavailable
from tests.adapters.accounts import account
from tests.adapters.clocks import HandClock
from tests.adapters.scripted_http import ScriptedHttp, json_answer

ISSUER = "https://id.example"
URL = f"{ISSUER}/.well-known/openid-configuration"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}
DOWN = UpstreamUnavailable("metadata cannot be reached", service="metadata")


class Case:
    """An oidc account, its scripted provider, and a clock."""

    def __init__(self, document: Any = DOCUMENT, **options: Any) -> None:
        self.clock, self.http = HandClock(), ScriptedHttp()
        self.http.answers[URL] = json_answer(document) if isinstance(document, dict) else document
        self.metadata = Metadata(account("oidc", ISSUER, "app", **options), self.http, self.clock)

    @property
    def reads(self) -> int:
        return self.http.count(URL)


@pytest.mark.parametrize(
    ("kind", "authority", "url"),
    [
        ("partner", "https://gw.example", "https://gw.example/app/.well-known/openid-configuration"),
        ("partner", "https://gw.example/", "https://gw.example/app/.well-known/openid-configuration"),
        ("b2c", "https://b.example/t/B2C_1_x", "https://b.example/t/B2C_1_x/v2.0/.well-known/openid-configuration"),
        ("b2c", "https://b.example/t/B2C_1_x/", "https://b.example/t/B2C_1_x/v2.0/.well-known/openid-configuration"),
        ("b2c", "https://b.example/tfp/t/p/v2.0/", "https://b.example/tfp/t/p/v2.0/.well-known/openid-configuration"),
        ("b2c", "https://b.example/t?p=x", "https://b.example/t/v2.0/.well-known/openid-configuration?p=x"),
        ("oidc", "https://id.example/realms/a/", "https://id.example/realms/a/.well-known/openid-configuration"),
        ("oidc", URL, URL),
    ],
)
def test_the_document_is_where_each_kind_has_it(kind: str, authority: str, url: str) -> None:
    assert discovery_url(account(kind, authority, "app")) == url


def test_it_is_read_once_a_day() -> None:
    case = Case()
    for _ in range(3):
        assert case.metadata.endpoints().token == f"{ISSUER}/token"
    case.clock.advance(86_399)
    case.metadata.endpoints()
    assert case.reads == 1
    case.clock.advance(1)
    case.metadata.endpoints()
    assert case.reads == 2


def test_a_step_of_the_wall_clock_does_not_matter() -> None:
    case = Case()
    case.metadata.endpoints()
    case.clock.wall_seconds += 10**9
    case.metadata.endpoints()
    assert case.reads == 1


def test_what_is_known_stays_while_nothing_newer_can_be_had() -> None:
    case = Case()
    case.metadata.endpoints()
    case.clock.advance(90_000)
    case.http.answers[URL] = DOWN
    for _ in range(3):
        assert case.metadata.endpoints().jwks_uri == f"{ISSUER}/keys"
    assert case.reads == 2, "at most once a minute"
    case.clock.advance(60)
    case.http.answers[URL] = json_answer({**DOCUMENT, "jwks_uri": f"{ISSUER}/new"})
    assert case.metadata.endpoints().jwks_uri == f"{ISSUER}/new"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (DOWN, UpstreamUnavailable),
        (json_answer({}, 404), InvalidResponse),
        (json_answer([]), InvalidResponse),
        (HttpAnswer(200, {"content-type": "text/html"}, b"<html>"), InvalidResponse),
        (HttpAnswer(302, {"location": "https://portal.example"}), InvalidResponse),
        ({"issuer": ISSUER}, InvalidResponse),
        ({**DOCUMENT, "token_endpoint": 7}, InvalidResponse),
        ({**DOCUMENT, "token_endpoint": "http://id.example/token"}, UpstreamRejected),
        ({**DOCUMENT, "authorization_endpoint": "https://id.example/\x1b]0;owned\x07"}, UpstreamRejected),
        ({**DOCUMENT, "authorization_endpoint": "https://id.example/\x9b2J"}, UpstreamRejected),
        ({**DOCUMENT, "token_endpoint": "file:///etc/passwd"}, UpstreamRejected),
        ({**DOCUMENT, "issuer": "https://other.example"}, UpstreamRejected),
    ],
)
def test_a_document_that_cannot_be_used_is_told_as_what_it_is(answer: Any, kind: type[UpstreamError]) -> None:
    with pytest.raises(UpstreamError) as caught:
        Case(answer).metadata.endpoints()
    assert type(caught.value) is kind
    assert caught.value.service == "metadata"


def test_a_missing_document_is_asked_for_again_at_once() -> None:
    case = Case(DOWN)
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            case.metadata.endpoints()
    case.http.answers[URL] = json_answer(DOCUMENT)
    assert case.metadata.endpoints().issuer == ISSUER


def test_the_configuration_wins_over_the_document() -> None:
    case = Case(
        {**DOCUMENT, "issuer": "https://other.example", "token_endpoint": None},
        token_endpoint="https://mine.example/token",
        jwks_uri="https://mine.example/keys",
        issuer=("https://other.example",),
    )
    found = case.metadata.endpoints()
    assert (found.token, found.jwks_uri) == ("https://mine.example/token", "https://mine.example/keys")
    assert found.authorization == f"{ISSUER}/authorize"


def test_no_document_is_read_where_the_configuration_tells_everything() -> None:
    case = Case(
        authorization_endpoint="http://localhost:1/authorize",
        token_endpoint="http://127.0.0.1:1/token",
        jwks_uri="http://[::1]:1/keys",
        issuer=("x",),
    )
    assert case.metadata.endpoints().jwks_uri == "http://[::1]:1/keys"
    assert case.reads == 0


def test_the_gateways_endpoints_are_known_without_asking() -> None:
    http = ScriptedHttp()
    metadata = Metadata(account("partner", "https://gw.example/", "app", "s"), http, HandClock())
    assert metadata.token_endpoint() == "https://gw.example/token"
    assert metadata.authorization_endpoint() == "https://gw.example/authorize"
    assert http.requests == []
