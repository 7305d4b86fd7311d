"""Which path of the sandbox's cloud is answered by what: the one table of its URLs.

Knows no document. The one invariant: every route but the control's goes through the weather and the request log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from broker.sandbox import door_entry, sign_in
from broker.sandbox.delivery import deliver_with_weather
from broker.sandbox.realm import b2c_realm, oidc_realm, partner_realm
from broker.sandbox.token_endpoint import token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.sandbox.calls import Call, Endpoint
    from broker.sandbox.realm import Realm
    from broker.sandbox.state import CloudState

    FindRealm = Callable[[web.Request], Realm | None]

_DISCOVERY = ".well-known/openid-configuration"
_CALL_IN = (
    "/vdeproducts/v1.0/audiovideounit/videodoorentry/addressLocation"
    "/plants/{plant_id}/modules/parameter/id/value/{device_id}/callIn"
)
_CATALOG = "/servicecatalog/api/v3.0/plants"


def add_routes(app: web.Application, state: CloudState) -> None:
    """Add every path of the cloud."""
    _add_sign_in(
        app,
        state,
        oidc_realm,
        {
            "metadata": f"/oidc/{_DISCOVERY}",
            "authorize": "/oidc/authorize",
            "token": "/oidc/token",
            "keys": "/oidc/keys",
        },
    )
    _add_sign_in(
        app,
        state,
        partner_realm,
        {"metadata": f"/{{client_id}}/{_DISCOVERY}", "authorize": "/authorize", "token": "/token"},
    )
    for prefix in ("/tfp/{tenant}/{policy}", "/{tenant}", "/{tenant}/{policy}"):
        _add_sign_in(
            app,
            state,
            b2c_realm,
            {
                "metadata": f"{prefix}/v2.0/{_DISCOVERY}",
                "authorize": f"{prefix}/oauth2/v2.0/authorize",
                "token": f"{prefix}/oauth2/v2.0/token",
                "keys": f"{prefix}/discovery/v2.0/keys",
            },
        )
    _add_api(app, state, "call_in", _CALL_IN, door_entry.call_in)
    _add_api(app, state, "catalog", _CATALOG, door_entry.plants)
    _add_api(app, state, "catalog", f"{_CATALOG}/{{plant_id}}/modules", door_entry.modules)


def _add_api(
    app: web.Application,
    state: CloudState,
    endpoint: Endpoint,
    path: str,
    answer: Callable[[CloudState, web.Request, Call], Awaitable[web.Response]],
) -> None:
    async def answered(request: web.Request, call: Call) -> web.Response:
        return await answer(state, request, call)

    app.router.add_get(path, deliver_with_weather(state, endpoint, answered))


def _add_sign_in(app: web.Application, state: CloudState, find: FindRealm, paths: dict[Endpoint, str]) -> None:
    for endpoint, path in paths.items():
        method = "POST" if endpoint == "token" else "GET"
        answer = _sign_in_answer(state, find, endpoint)
        app.router.add_route(method, path, deliver_with_weather(state, endpoint, answer))


def _sign_in_answer(
    state: CloudState, find: FindRealm, endpoint: Endpoint
) -> Callable[[web.Request, Call], Awaitable[web.Response]]:
    async def answered(request: web.Request, call: Call) -> web.Response:
        realm = find(request)
        if realm is None:
            return web.Response(status=404, text="<p>The resource cannot be found.</p>", content_type="text/html")
        if endpoint == "metadata":
            return sign_in.metadata(state, realm)
        if endpoint == "keys":
            return sign_in.keys(state)
        if endpoint == "authorize":
            return sign_in.authorize(state, realm, request, call)
        return await token(state, realm, request, call)

    return answered
