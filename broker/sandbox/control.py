"""The sandbox's HTTP control, for a shell or another process that wants to change the weather: `/__sandbox/...`.

Speaks JSON, to loopback only. Knows no document of the cloud. The one invariant: it does what a method of Cloud does,
and nothing that Python could not.

    POST /__sandbox/options    {"id_token_seconds": 60}
    POST /__sandbox/faults     {"endpoint": "call_in", "error": "quota", "times": 3}   (or "fault": {"status": 502})
    POST /__sandbox/applications {"secret_expires_at": 0}
    POST /__sandbox/clear      {}
    POST /__sandbox/release    {}
    POST /__sandbox/keys       {"keep_old": false}
    POST /__sandbox/revoke     {"user": "mario"}
    POST /__sandbox/expire     {}
    POST /__sandbox/quota      {"left_seconds": 25280}
    POST /__sandbox/scenario   {"name": "outage"}
    GET  /__sandbox/calls
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.changes import apply_change
from broker.sandbox.delivery import json_answer
from broker.sandbox.scenarios import SCENARIOS

if TYPE_CHECKING:
    from broker.sandbox.cloud import Cloud


def add_control(app: web.Application, cloud: Cloud) -> None:
    """Add the control's paths."""

    async def change(request: web.Request) -> web.Response:
        _check_peer(request)
        try:
            _change(cloud, request.match_info["action"], await _document(request))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, 400)
        return json_answer({"done": request.match_info["action"]})

    async def calls(request: web.Request) -> web.Response:
        _check_peer(request)
        return json_answer([call.as_json() for call in cloud.calls])

    app.router.add_get("/__sandbox/calls", calls)
    app.router.add_post("/__sandbox/{action}", change)


def _check_peer(request: web.Request) -> None:
    """Refuse other machines, and pages in a browser of this one. Raises: HTTPForbidden."""
    if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback or "Origin" in request.headers:  # noqa: S104
        raise web.HTTPForbidden


async def _document(request: web.Request) -> dict[str, Any]:
    document = await request.json() if request.can_read_body else {}
    if not isinstance(document, dict):
        raise TypeError("a JSON object is wanted")
    return document


def _change(cloud: Cloud, action: str, document: dict[str, Any]) -> None:
    if action == "scenario":
        cloud.play(SCENARIOS[document["name"]])
    else:
        apply_change(cloud, action, document)
