"""The shapes of a provider's documents, taken raw from a login, two refreshes and a replay; no code of the broker's.

A shape is the names of a document's fields with the kinds of their values. The one invariant: what is read here is what
went over the wire.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from broker.sandbox import credentials
from tests.providers.ways import B2C_PATH, POLICY, TENANT

if TYPE_CHECKING:
    from tests.providers.houses import House

VERIFIER = "v" * 50
Shape = dict[str, str]
Shapes = dict[str, Shape]


@dataclass(frozen=True, slots=True)
class Source:
    """Where shapes are taken: a house, where its discovery document is, and what its authorization request carries."""

    house: str
    discovery: str
    client_id: str
    secret: str | None = None
    prompt: str | None = None
    bare: bool = False
    """The gateway's request: no scope, no nonce, no PKCE, and no redirect_uri to the token endpoint."""


OTHERS = {
    "oidc-provider": Source("oidc-provider", "", "broker-public", prompt="consent"),
    "django-oauth-toolkit": Source("django-oauth-toolkit", f"{B2C_PATH}/v2.0", "broker-public"),
}
OURS = {
    "oidc": Source("sandbox", "/oidc", credentials.OIDC_PUBLIC_CLIENT_ID),
    "b2c": Source("sandbox", f"/{TENANT}/{POLICY}/v2.0", credentials.B2C_PUBLIC_CLIENT_ID),
    "partner": Source(
        "sandbox",
        f"/{credentials.PARTNER_CLIENT_ID}",
        credentials.PARTNER_CLIENT_ID,
        secret=credentials.PARTNER_CLIENT_SECRET,
        bare=True,
    ),
}


def shapes_of(source: Source, house: House) -> Shapes:
    """Every document of this source."""
    visitor = _Visitor(house)
    metadata = visitor.ask(f"{house.origin}{source.discovery}/.well-known/openid-configuration")[1]
    landed = house.log_in(f"{metadata['authorization_endpoint']}?{urlencode(_authorization(source))}")
    redirect = dict(parse_qsl(urlsplit(landed).query))
    client = {"client_id": source.client_id} | ({"client_secret": source.secret} if source.secret else {})
    more = {} if source.bare else {"redirect_uri": credentials.REDIRECT_URI, "code_verifier": VERIFIER}

    def token(**form: str) -> tuple[int, Any]:
        return visitor.ask(metadata["token_endpoint"], {**client, **form})

    first = token(grant_type="authorization_code", code=redirect["code"], **more)[1]
    second = token(grant_type="refresh_token", refresh_token=first["refresh_token"])[1]
    status, refusal = token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (status, refusal["error"]) == (400, "invalid_grant")
    return {
        "metadata": _shape(metadata),
        "key": _shape(visitor.ask(metadata["jwks_uri"])[1]["keys"][0]),
        "redirect": _shape(redirect),
        "answer to a code": _shape(first),
        "answer to a refresh token": _shape(second),
        "refusal": _shape(refusal),
        "id token's header": _shape(_part(first["id_token"], 0)),
        "id token": _shape(_part(first["id_token"], 1)),
        "id token of a refresh": _shape(_part(second["id_token"], 1)),
    }


def _authorization(source: Source) -> dict[str, str]:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "client_id": source.client_id,
        "response_type": "code",
        "state": "any",
        "redirect_uri": credentials.REDIRECT_URI,
    }
    if not source.bare:
        query |= {
            "scope": "openid offline_access",
            "nonce": "any",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
    return query | ({"prompt": source.prompt} if source.prompt else {})


class _Visitor:
    def __init__(self, house: House) -> None:
        context = ssl.create_default_context(cafile=str(house.ca_file))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def ask(self, url: str, form: dict[str, str] | None = None) -> tuple[int, Any]:
        body = None if form is None else urlencode(form).encode()
        try:
            with self._opener.open(url, body, 20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


def _part(token: str, number: int) -> dict[str, Any]:
    part = token.split(".")[number]
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return document


def _shape(document: dict[str, Any]) -> Shape:
    return {name: type(value).__name__ for name, value in document.items()}
