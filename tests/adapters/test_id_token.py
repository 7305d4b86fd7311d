"""The id-token verifier: each thing that can be wrong with a token, and the keys that come and go."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from broker.adapters.id_token import IdTokens, display_name
from broker.adapters.id_token_keys import SigningKeys
from broker.adapters.metadata import Metadata
from broker.core.secret import Secret
from broker.errors import InvalidResponse, UpstreamError, UpstreamUnavailable
from tests.adapters.accounts import account
from tests.adapters.clocks import NOW, HandClock
from tests.adapters.scripted_http import ScriptedHttp, json_answer

ISSUER = "https://id.example"
METADATA, KEYS = f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": KEYS,
}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "app",
    "sub": "somebody",
    "iat": int(NOW),
    "nbf": int(NOW),
    "exp": int(NOW) + 3600,
    "nonce": "the-nonce",
}
DOWN = UpstreamUnavailable("signing keys cannot be reached", service="signing keys")


@lru_cache
def key(kid: str) -> RSAKey:
    return RSAKey.import_key({**RSAKey.generate_key(2048).as_dict(private=True), "kid": kid, "use": "sig"})


def public(kid: str) -> dict[str, Any]:
    return dict(key(kid).as_dict(private=False))


def token(
    claims: dict[str, Any] | None = None, *, kid: str | None = "one", signer: str = "one", **header: Any
) -> Secret:
    head = {"alg": "RS256", **({"kid": kid} if kid else {}), **header}
    kept = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if value is not None}
    return Secret(jwt.encode(head, kept, key(signer), registry=None))


class Case:
    """An oidc account with its scripted provider."""

    def __init__(self, *entries: dict[str, Any], **options: Any) -> None:
        self.clock, self.http = HandClock(), ScriptedHttp()
        self.http.answers[METADATA] = json_answer(DOCUMENT)
        self.publish(*(entries or (public("one"),)))
        made = account("oidc", ISSUER, "app", **options)
        metadata = Metadata(made, self.http, self.clock)
        self.verifier = IdTokens(made, metadata, SigningKeys(metadata, self.http, self.clock), self.clock)

    def publish(self, *entries: Any) -> None:
        self.http.answers[KEYS] = json_answer({"keys": list(entries)})

    def verify(self, given: Secret, *, nonce: str | None = "the-nonce", server_seconds: float | None = NOW) -> Any:
        return self.verifier.verify(
            given, nonce=None if nonce is None else Secret(nonce), server_seconds=server_seconds
        )

    @property
    def reads(self) -> int:
        return self.http.count(KEYS)


def test_a_good_token_yields_its_claims() -> None:
    claims = Case().verify(token({"name": "Mario"}))
    assert (claims.issuer, claims.subject, claims.display_name) == (ISSUER, "somebody", "Mario")
    assert (claims.issued_at, claims.expires_at) == (int(NOW), int(NOW) + 3600)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("another issuer", {"iss": "https://evil.example"}, "iss is not what it must be"),
    ("an issuer that only begins right", {"iss": ISSUER + ".evil.example"}, "iss is not"),
    ("no issuer", {"iss": None}, "missing: iss"),
    ("another audience", {"aud": "other"}, "aud is not"),
    ("other audiences", {"aud": ["other", "another"], "azp": "app"}, "aud is not"),
    ("no audience", {"aud": None}, "missing: aud"),
    ("no subject", {"sub": None}, "missing: sub"),
    ("an empty subject", {"sub": ""}, "sub is not"),
    ("a subject that draws on the terminal", {"sub": "\x1b]0;owned\x07"}, "sub is no name"),
    ("a subject with a control character of one byte", {"sub": "a\x9b2J"}, "sub is no name"),
    ("a subject without end", {"sub": "a" * 256}, "sub is no name"),
    ("a subject that is a number", {"sub": 5}, "sub"),
    ("no expiry", {"exp": None}, "missing: exp"),
    ("an expiry that is text", {"exp": "tomorrow"}, "exp is not"),
    ("an expiry that is no number", {"exp": float("nan")}, "exp is not"),
    ("an expiry in milliseconds", {"exp": (int(NOW) + 3600) * 1000}, "exp is no moment"),
    ("expired beyond the leeway", {"exp": int(NOW) - 301}, "expired already"),
    ("not valid yet", {"nbf": int(NOW) + 301}, "nbf is not"),
    ("issued in the future", {"iat": int(NOW) + 301}, "iat is not"),
    ("another nonce", {"nonce": "other"}, "nonce is not"),
    ("no nonce", {"nonce": None}, "nonce is not"),
    ("a nonce that is no text", {"nonce": 7}, "nonce is not"),
]


@pytest.mark.parametrize(("claims", "why"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_claim_is_refused_by_name(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidResponse, match=why) as caught:
        Case().verify(token(claims))
    assert "evil" not in str(caught.value)
    assert not caught.value.ambiguous


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(NOW) - 299},
        {"nbf": int(NOW) + 299, "iat": int(NOW) + 299},
        {"aud": ["other", "app"]},
        {"iat": None, "nbf": None},
        {"exp": NOW + 0.5},
    ],
)
def test_what_is_within_the_leeway_or_odd_but_right_is_taken(claims: dict[str, Any]) -> None:
    assert Case().verify(token(claims)).subject == "somebody"


def test_the_nonce_is_asked_only_where_one_is_given() -> None:
    assert Case().verify(token({"nonce": None}), nonce=None).subject == "somebody"


@pytest.mark.parametrize("wall_seconds", [60.0, NOW + 3000 * 86_400.0])
def test_the_clouds_time_judges_else_the_tokens_own_whatever_the_wall_clock_says(wall_seconds: float) -> None:
    case = Case()
    case.clock.wall_seconds = wall_seconds
    assert case.verify(token()).subject == "somebody"
    assert case.verify(token(), server_seconds=None).subject == "somebody"
    with pytest.raises(InvalidResponse, match="expired already"):
        case.verify(token({"exp": int(NOW) - 301}), server_seconds=None)
    with pytest.raises(InvalidResponse, match="nbf is not"):
        case.verify(token({"nbf": int(NOW) + 301}), server_seconds=None)


def test_a_token_that_tells_no_time_is_judged_by_the_wall_clock_where_the_cloud_tells_none() -> None:
    case = Case()
    case.clock.wall_seconds = 60.0  # 1970
    with pytest.raises(InvalidResponse, match="nbf is not"):
        case.verify(token({"iat": None, "nbf": int(NOW)}), server_seconds=None)


def test_configured_issuers_and_audiences_count_instead_of_the_metadatas() -> None:
    case = Case(issuer=("https://a.example", "https://b.example"), audience=("gateway",))
    assert case.verify(token({"iss": "https://b.example", "aud": "gateway"})).issuer == "https://b.example"
    with pytest.raises(InvalidResponse, match="iss is not"):
        case.verify(token({"aud": "gateway"}))


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forged_with_the_public_key() -> str:
    pem = key("one").as_pem(private=False)
    return jwt.encode({"alg": "HS256", "kid": "one"}, CLAIMS, OctKey.import_key(base64.urlsafe_b64encode(pem)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no-jwt",
        "a.b",
        "a.b.c",
        "é.é.é",
        f"{part([])}.{part(CLAIMS)}.c2ln",
        f"{part({'alg': 'none'})}.{part(CLAIMS)}.",
        f"{part({'alg': 'RS256', 'kid': 'one'})}.{part(CLAIMS)}.c2ln",
        f"{part({'alg': 'RS256', 'kid': 'one', 'crit': ['x'], 'x': 1})}.{part(CLAIMS)}.c2ln",
        f"{part({'alg': 'RS256', 'kid': ['one']})}.{part(CLAIMS)}.c2ln",
        forged_with_the_public_key(),
    ],
)
def test_what_is_not_signed_with_rs256_by_the_provider_is_refused(text: str) -> None:
    with pytest.raises(InvalidResponse, match="the id token cannot be accepted"):
        Case().verify(Secret(text))


@pytest.mark.parametrize("text", [forged_with_the_public_key(), f"{part({'alg': 'none'})}.{part(CLAIMS)}."])
def test_another_algorithm_is_named_as_the_reason(text: str) -> None:
    with pytest.raises(InvalidResponse, match="it is not signed with RS256"):
        Case().verify(Secret(text))


def test_a_signature_of_a_key_that_nobody_publishes_is_refused() -> None:
    with pytest.raises(InvalidResponse, match="fits none of the provider's keys"):
        Case().verify(token(signer="two"))


@pytest.mark.parametrize("header", [{"x5t": "abc", "x-made-up": 1}, {"x5c": ["A" * 4000]}, {"typ": "at+jwt"}])
def test_headers_that_do_not_matter_do_not_matter(header: dict[str, Any]) -> None:
    head = {"alg": "RS256", "kid": "one", **header}
    signing_input = f"{part(head)}.{part(CLAIMS)}"
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    signature = key("one").private_key.sign(signing_input.encode(), PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr]
    text = f"{signing_input}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert Case().verify(Secret(text)).subject == "somebody"


def test_a_token_without_kid_is_tried_with_every_key() -> None:
    assert Case(public("two"), public("one")).verify(token(kid=None)).subject == "somebody"


def test_a_broken_key_costs_only_itself() -> None:
    broken: list[Any] = [
        {"kty": "RSA", "kid": "bad", "n": "!!", "e": "AQAB"},
        {"kty": "RSA", "kid": "bad"},
        {"kty": "made-up"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {**public("two"), "use": "enc"},
        None,
    ]
    assert Case(*broken, public("one")).verify(token()).subject == "somebody"


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": []}, {"keys": [{"kty": "made-up"}]}, []])
def test_a_document_without_a_usable_key_is_an_invalid_response(document: Any) -> None:
    case = Case()
    case.http.answers[KEYS] = json_answer(document)
    with pytest.raises(InvalidResponse, match="no usable RSA key"):
        case.verify(token())


def test_an_unknown_kid_reads_the_keys_again_at_most_once_a_minute() -> None:
    case = Case()
    case.verify(token())
    case.publish(public("one"), public("two"))
    with pytest.raises(InvalidResponse):
        case.verify(token(kid="two", signer="two"))
    assert case.reads == 1, "they were read this minute"
    case.clock.advance(60)
    assert case.verify(token(kid="two", signer="two")).subject == "somebody"
    assert case.reads == 2
    for _ in range(3):
        with pytest.raises(InvalidResponse):
            case.verify(token(kid="three", signer="one"))
    assert case.reads == 2


def test_keys_stay_in_memory_while_they_cannot_be_read() -> None:
    case = Case()
    case.verifier.prepare()
    case.clock.advance(100_000)
    case.http.answers[KEYS] = DOWN
    case.http.answers[METADATA] = DOWN
    case.verifier.prepare()
    assert case.verify(token()).subject == "somebody"


def test_without_any_key_the_outage_is_told_and_no_token_is_judged() -> None:
    case = Case()
    case.http.answers[KEYS] = DOWN
    with pytest.raises(UpstreamUnavailable):
        case.verifier.prepare()
    with pytest.raises(UpstreamUnavailable):
        case.verify(token())


def test_prepare_reads_what_is_a_day_old_and_nothing_younger() -> None:
    case = Case()
    for _ in range(3):
        case.verifier.prepare()
    assert (case.reads, case.http.count(METADATA)) == (1, 1)
    case.clock.advance(86_400)
    case.verifier.prepare()
    assert (case.reads, case.http.count(METADATA)) == (2, 2)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Mario", "email": "m@x"}, "Mario"),
        ({"name": " ", "preferred_username": "mario"}, "mario"),
        ({"emails": ["m@x.example"]}, "m@x.example"),
        ({"emails": [], "name": "a\x1b[2Jb"}, None),
        ({"name": "x" * 500}, "x" * 100),
        ({}, None),
    ],
)
def test_a_person_is_called_by_what_the_token_offers(claims: dict[str, Any], name: str | None) -> None:
    assert display_name(claims) == name


def test_no_failure_holds_a_part_of_the_token() -> None:
    text = token({"aud": "other"}).reveal()
    with pytest.raises(UpstreamError) as caught:
        Case().verify(Secret(text))
    assert all(piece not in f"{caught.value!r}{caught.value.hint}" for piece in text.split("."))


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 5000,
        b'{"alg": "RS256", "x": ' + b"[" * 2900 + b"]" * 2900 + b"}",
        b'{"alg": "RS256", "crit": 5}',
        b'{"alg": "RS256", "crit": ["b64"], "b64": false}',
        b'{"alg": "RS256", "kid": {}}',
        b"null",
    ],
)
def test_a_header_made_to_trip_the_parser_is_no_bug_of_ours(header: bytes) -> None:
    _, payload, signature = token().reveal().split(".")
    made = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    with pytest.raises(InvalidResponse):
        Case().verify(Secret(f"{made}.{payload}.{signature}"))
