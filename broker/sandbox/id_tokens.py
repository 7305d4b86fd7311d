"""The tokens that a sign-in yields: id tokens as decoded from a real one, access tokens for the API.

Knows no HTTP. The one invariant: an id token's claims are the facts' own unless an option overrides them by name.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

from broker.sandbox import credentials
from broker.sandbox.keys import sign_with_secret

if TYPE_CHECKING:
    from broker.sandbox.grants import Login
    from broker.sandbox.realm import Realm
    from broker.sandbox.state import CloudState


def id_token(state: CloudState, realm: Realm, login: Login, *, first: bool) -> str:
    """An id token; the nonce is echoed in the `first` only (OpenID Connect Core section 12.2)."""
    options = state.options
    now = int(state.cloud_seconds)
    sub = options.people[login.user].sub
    claims: dict[str, Any] = {
        "iss": realm.issuer(options.issuer_form),
        "aud": login.client_id,
        "exp": now + options.id_token_seconds,
        "iat": now,
        "auth_time": int(login.created_at),
        "sub": sub,
    }
    if realm.kind != "oidc":
        claims |= {"nbf": now, "ver": "1.0", "oid": sub, "tfp": login.policy}
    if first and login.nonce is not None:
        claims["nonce"] = login.nonce
    claims = _overridden(claims, options.id_token_claims)
    if options.id_token_algorithm == "none":
        return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."
    if options.id_token_algorithm == "HS256":
        return sign_with_secret(claims, credentials.TICKET_KEY)
    return state.keys.sign(claims, unpublished=options.sign_with == "unpublished")


def access_token(state: CloudState, realm: Realm, login: Login) -> str:
    """An access token for the API: a JWT with `scp`, which no id token has."""
    now = int(state.cloud_seconds)
    claims = {
        "iss": realm.issuer(state.options.issuer_form),
        "aud": login.client_id,
        "exp": now + state.options.access_token_seconds,
        "nbf": now,
        "sub": state.options.people[login.user].sub,
        "scp": " ".join(login.scope),
        "jti": secrets.token_hex(8),
    }
    return state.keys.sign(claims)


def ticket(state: CloudState, plant_id: str, device_id: str) -> str:
    """A call-in ticket; what a real one says is unknown, so these are guesses (its `jti` counts up from 1)."""
    options = state.options
    state.tickets_issued += 1
    if options.ticket_kind == "opaque":
        return secrets.token_urlsafe(32)
    now = int(state.cloud_seconds)
    claims: dict[str, Any] = {
        "sub": device_id,
        "plantId": plant_id,
        "iat": now,
        "nbf": now,
        "exp": now + options.ticket_seconds,
        "jti": str(state.tickets_issued),
    }
    return sign_with_secret(_overridden(claims, options.ticket_claims), credentials.TICKET_KEY)


def _overridden(claims: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**claims, **overrides}.items() if value is not None}


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
