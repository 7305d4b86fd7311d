"""Metadata, keys and the authorize page: the part of a sign-in that a browser and a curious client see.

Knows no token endpoint. The one invariant: nothing is ever sent to a redirect URI that the application has not
registered, letter by letter (trailing slash included).
"""

from __future__ import annotations

import html
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from broker.sandbox.delivery import json_answer
from broker.sandbox.grants import Login
from broker.sandbox.oauth_errors import OAuthRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.sandbox.calls import Call
    from broker.sandbox.options import Application
    from broker.sandbox.realm import Realm
    from broker.sandbox.state import CloudState

GATEWAY_SCOPE = ("openid", "offline_access", "audiovideoterminal.read")
_CANCELLED = {"cancel": "90091", "forgot_password": "90118"}


def metadata(state: CloudState, realm: Realm) -> web.Response:
    """The discovery document."""
    return json_answer(realm.metadata(state.options.issuer_form))


def keys(state: CloudState) -> web.Response:
    """The JWKS document."""
    return json_answer(state.keys.published())


def authorize(state: CloudState, realm: Realm, request: web.Request, call: Call) -> web.Response:
    """Answer an authorization request: a page, a redirect with a code, or a redirect with an error."""
    query = request.query
    call.client_id = query.get("client_id")
    redirect_uri = query.get("redirect_uri", "")
    try:
        application = known_application(state, realm, query.get("client_id"))
        _check_redirect_uri(application, query)
    except OAuthRefused as refused:
        return _error_page(state, realm, refused, redirect_uri)
    try:
        _check_request(realm, query)
        answer = query.get("sandbox_answer") or (state.options.login_answer if state.options.auto_login else "")
        _check_person(answer)
    except OAuthRefused as refused:
        document = refused.document(state.cloud_seconds, plain=realm.kind == "oidc")
        return _redirect(redirect_uri, query, {**document, "state": query.get("state")})
    if not answer:
        return _form(state, query)
    code = state.grants.issue_code(_login(state, realm, query))
    return _redirect(redirect_uri, query, {"state": query.get("state"), "code": code})


def known_application(state: CloudState, realm: Realm, client_id: str | None) -> Application:
    """The application that asks. Raises: OAuthRefused."""
    if not client_id:
        raise OAuthRefused("90008")
    application = state.options.applications.get(client_id)
    if application is None or application.kind != realm.kind:
        raise OAuthRefused("90018", client_id=client_id, tenant=realm.tenant)
    if not application.enabled:
        raise OAuthRefused("90092", client_id=client_id, tenant=realm.tenant)
    return application


def _check_redirect_uri(application: Application, query: Mapping[str, str]) -> None:
    facts = {"client_id": query["client_id"], "redirect_uri": query.get("redirect_uri", "")}
    if not application.redirect_uris:
        raise OAuthRefused("90007", **facts)
    if facts["redirect_uri"] not in application.redirect_uris:
        raise OAuthRefused("90006", **facts)


def _check_request(realm: Realm, query: Mapping[str, str]) -> None:
    if query.get("response_type") != "code":
        raise OAuthRefused("90013")
    if query.get("response_mode", "query") not in ("query", "fragment"):
        raise OAuthRefused("90014")
    if "code_challenge" in query and query.get("code_challenge_method") != "S256":
        raise OAuthRefused("90183")
    scope = query.get("scope", "").split()
    if realm.kind == "b2c" and not scope:
        raise OAuthRefused("90010")
    if realm.kind == "b2c" and "openid" not in scope:
        raise OAuthRefused("90115")


def _check_person(answer: str) -> None:
    if answer in _CANCELLED:
        raise OAuthRefused(_CANCELLED[answer])


def _login(state: CloudState, realm: Realm, query: Mapping[str, str]) -> Login:
    options = state.options
    stale = options.stale_session_user if query.get("prompt") != "login" else None
    user = stale or query.get("sandbox_user") or options.user
    partner = realm.kind == "partner"
    return Login(
        client_id=query["client_id"],
        user=user if user in options.people else options.user,
        kind=realm.kind,
        policy=realm.policy,
        scope=GATEWAY_SCOPE if partner else tuple(query.get("scope", "").split()),
        nonce=secrets.token_hex(16) if partner else query.get("nonce"),  # the gateway runs a sign-in of its own
        created_at=state.cloud_seconds,
        redirect_uri=query["redirect_uri"],
        code_challenge=None if partner else query.get("code_challenge"),
    )


def _redirect(redirect_uri: str, query: Mapping[str, str], answer: Mapping[str, str | None]) -> web.Response:
    parameters = urlencode({name: value for name, value in answer.items() if value is not None})
    in_query = "&" if urlsplit(redirect_uri).query else "?"
    separator = "#" if query.get("response_mode") == "fragment" else in_query
    return web.Response(status=302, headers={"Location": f"{redirect_uri}{separator}{parameters}"})


def _error_page(state: CloudState, realm: Realm, refused: OAuthRefused, redirect_uri: str) -> web.Response:
    text = refused.description(state.cloud_seconds)
    if realm.kind == "partner" and refused.code == "90006":
        host = urlsplit(redirect_uri).hostname or ""
        text = f"The reply url host {host} doesn't match with the ones configured on the application"
    return _page(f"<p>{html.escape(text)}</p>", status=400)


def _form(state: CloudState, query: Mapping[str, str]) -> web.Response:
    kept = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in query.items()
    )
    people = "".join(f"<option>{html.escape(name)}</option>" for name in state.options.people)
    buttons = "".join(
        f'<button name="sandbox_answer" value="{answer}">{label}</button> '
        for answer, label in (("accept", "Sign in"), ("forgot_password", "Forgot password"), ("cancel", "Cancel"))
    )
    return _page(
        f'<form>{kept}<label>Sign in as <select name="sandbox_user">{people}</select></label> {buttons}</form>'
    )


def _page(content: str, status: int = 200) -> web.Response:
    page = f"<!DOCTYPE html><title>ELIOT sandbox</title><h1>ELIOT sandbox</h1>{content}"
    return web.Response(status=status, text=page, content_type="text/html")
