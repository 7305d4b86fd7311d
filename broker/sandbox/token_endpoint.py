"""The token endpoints of the three ways to sign in: who asks, which grant, which answer (RFC 6749, B2C's own fields).

Knows no browser. The one invariant: whatever goes wrong with a request leaves as HTTP 400 with an OAuth error document.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from broker.sandbox import credentials
from broker.sandbox.calls import fingerprint
from broker.sandbox.delivery import json_answer
from broker.sandbox.id_tokens import access_token, id_token
from broker.sandbox.oauth_errors import OAuthRefused
from broker.sandbox.sign_in import known_application

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from broker.sandbox.calls import Call
    from broker.sandbox.grants import Login
    from broker.sandbox.options import Application
    from broker.sandbox.realm import Realm
    from broker.sandbox.state import CloudState

_NO_RESOURCE = {"openid", "offline_access", "profile", "email"}


async def token(state: CloudState, realm: Realm, request: web.Request, call: Call) -> web.Response:
    """Answer a token request."""
    form = {name: str(value) for name, value in (await request.post()).items()}
    client_id, secret = _client(form, request.headers.get("Authorization", ""))
    call.parameters = tuple(sorted({*call.parameters, *form}))
    call.client_id, call.grant_type = client_id, form.get("grant_type")
    try:
        application = known_application(state, realm, client_id)
        _check_secret(application, secret, state.cloud_seconds)
        login = _redeemed(state, realm, form, client_id or "", call)
    except OAuthRefused as refused:
        call.error = refused.code
        document = refused.document(state.cloud_seconds, plain=realm.kind == "oidc")
        return json_answer(document, 400, {"Cache-Control": "no-store"})
    answer = _answer(state, realm, login, first=form["grant_type"] == "authorization_code")
    if answer.get("refresh_token"):
        call.new_refresh_token = fingerprint(str(answer["refresh_token"]))
    return json_answer(answer, 200, {"Cache-Control": "no-store"})


def _client(form: Mapping[str, str], authorization: str) -> tuple[str | None, str | None]:
    """Client id and secret, of the form or of HTTP Basic (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id"), form.get("client_secret")
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    return unquote_plus(client_id), unquote_plus(secret)


def _check_secret(application: Application, secret: str | None, now: float) -> None:
    if application.secret is None:
        if secret:
            raise OAuthRefused("90084")
    elif not secret:
        raise OAuthRefused("90079")
    elif secret != application.secret or (
        application.secret_expires_at is not None and now >= application.secret_expires_at
    ):
        raise OAuthRefused("90081")


def _redeemed(state: CloudState, realm: Realm, form: Mapping[str, str], client_id: str, call: Call) -> Login:
    now = state.cloud_seconds
    if form.get("grant_type") == "refresh_token":
        presented = form.get("refresh_token", "")
        call.refresh_token = fingerprint(presented)
        return state.grants.refresh(presented, client_id=client_id, policy=realm.policy, now=now)
    if form.get("grant_type") == "authorization_code":
        return state.grants.redeem(
            form.get("code", ""),
            client_id=client_id,
            policy=realm.policy,
            redirect_uri=form.get("redirect_uri"),
            verifier=form.get("code_verifier"),
            now=now,
        )
    raise OAuthRefused("90086")


def _answer(state: CloudState, realm: Realm, login: Login, *, first: bool) -> dict[str, Any]:
    options = state.options
    now = int(state.cloud_seconds)
    eliot = realm.kind != "oidc"
    answer: dict[str, Any] = {"token_type": "Bearer"}
    if "openid" in login.scope:
        answer["id_token"] = id_token(state, realm, login, first=first)
    if not eliot or set(login.scope) - _NO_RESOURCE:
        answer["access_token"] = access_token(state, realm, login)
        answer["expires_in"] = options.access_token_seconds
        answer["scope"] = " ".join(scope for scope in login.scope if not eliot or scope not in _NO_RESOURCE)
    if "offline_access" in login.scope:
        answer["refresh_token"], lifetime = state.grants.issue_refresh_token(login, now)
        answer |= {"refresh_token_expires_in": lifetime} if eliot else {}
    if eliot:
        answer |= {"not_before": now, "client_info": _client_info(state, realm, login)}
        answer |= {"id_token_expires_in": options.id_token_seconds} if "id_token" in answer else {}
        answer.setdefault("scope", "")
    answer = {**answer, **options.token_answer_fields}
    return {
        name: str(value) if options.numbers_as_strings and isinstance(value, int) else value
        for name, value in answer.items()
        if value is not None
    }


def _client_info(state: CloudState, realm: Realm, login: Login) -> str:
    sub = state.options.people[login.user].sub
    document = {"uid": f"{sub}-{realm.policy}".lower(), "utid": credentials.TENANT_ID}
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
