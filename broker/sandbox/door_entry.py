"""The API side of the cloud: the call-in operation as on the vendor's page, and the service catalogue.

Knows no sign-in but what an id token says. The one invariant: a ticket is issued only to a request whose subscription
key, quota, token and home were all found good, in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox import credentials
from broker.sandbox.api_errors import CAPTIVE_PORTAL, api_error, quota_answer, rate_answer
from broker.sandbox.calls import fingerprint
from broker.sandbox.delivery import json_answer
from broker.sandbox.id_tokens import ticket
from broker.sandbox.meter import DAY_SECONDS, MINUTE_SECONDS

if TYPE_CHECKING:
    from broker.sandbox.calls import Call
    from broker.sandbox.state import CloudState


async def call_in(state: CloudState, request: web.Request, call: Call) -> web.Response:
    """`GET .../plants/{plantId}/modules/parameter/id/value/{deviceId}/callIn`."""
    plant_id, device_id = request.match_info["plant_id"], request.match_info["device_id"]
    call.plant_id, call.device_id = plant_id, device_id
    refused = _refusal(state, request, call)
    if refused is not None:
        return refused
    owner = state.options.home_owner
    stranger = owner is not None and call.person != state.options.people[owner].sub
    if stranger or device_id not in state.options.homes.get(plant_id, ()):
        return api_error("unauthorized" if state.options.unknown_home_status == 401 else "not_found")  # noqa: PLR2004
    if not state.options.gateway_online:
        return api_error("not_found")
    return _shaped(state, plant_id, device_id)


async def plants(state: CloudState, request: web.Request, call: Call) -> web.Response:
    """`GET /servicecatalog/api/v3.0/plants`."""
    refused = _refusal(state, request, call)
    found = [{"id": plant, "name": "Sandbox home", "country": "IT"} for plant in state.options.homes]
    return refused or _catalog(state, "plants", found)


async def modules(state: CloudState, request: web.Request, call: Call) -> web.Response:
    """`GET /servicecatalog/api/v3.0/plants/{id}/modules`."""
    call.plant_id = request.match_info["plant_id"]
    refused = _refusal(state, request, call)
    if refused is None and call.plant_id not in state.options.homes:
        return api_error("not_found")
    found = [
        {"id": device, "name": "Door entry", "device": "gateway", "system": "videodoorentry", "hw_type": "NC100X"}
        for device in state.options.homes.get(call.plant_id, ())
    ]
    return refused or _catalog(state, "modules", found)


def _refusal(state: CloudState, request: web.Request, call: Call) -> web.Response | None:
    """The API gateway's checks, before the operation is looked at; None: all is well."""
    options, now = state.options, state.cloud_seconds
    key = request.headers.get("Ocp-Apim-Subscription-Key")
    if not key:
        return api_error("missing_subscription_key")
    if key not in options.subscription_keys:
        return api_error("invalid_subscription_key")
    meter = state.meter
    wait = meter.blocked_seconds(meter.minutes, key, limit=options.rate_limit, length=MINUTE_SECONDS, now=now)
    if wait:
        return rate_answer(wait)
    wait = meter.blocked_seconds(meter.days, key, limit=options.daily_quota, length=DAY_SECONDS, now=now)
    if wait:
        return quota_answer(wait, options.quota_format)
    meter.count(key, now)
    if not any(wanted in request.headers.get("Accept", "*/*") for wanted in ("application/json", "*/*")):
        return api_error("not_acceptable")
    return None if _may_call(state, request, call) else api_error("unauthorized")


def _may_call(state: CloudState, request: web.Request, call: Call) -> bool:
    """Whether `Authorization` holds the kind of token that is wanted, in the wanted form, signed, for us, in time."""
    options = state.options
    scheme, _, token = request.headers.get("Authorization", "").rpartition(" ")
    call.api_token = fingerprint(token) if token else None
    claims = state.keys.verified(token)
    if claims is None or scheme != options.api_scheme:
        return False
    call.person = str(claims.get("sub"))
    kind = "access_token" if "scp" in claims else "id_token"
    audience = claims.get("aud")
    known = isinstance(audience, str) and audience in options.applications
    return kind == options.api_token and known and claims.get("exp", 0) > state.cloud_seconds


def _unit(plant_id: str, value: str) -> dict[str, Any]:
    sender = {"addressType": "addressLocation", "system": "videodoorentry", "plant": {"id": plant_id}}
    return {"ticket": value, "sender": sender}


def _shaped(state: CloudState, plant_id: str, device_id: str) -> web.Response:
    """The answer, in the shape that the options ask for."""
    shape = state.options.call_in_shape
    ours = _unit(plant_id, "" if shape == "blank" else ticket(state, plant_id, device_id))
    foreign = _unit(credentials.OTHER_PLANT_ID, ticket(state, credentials.OTHER_PLANT_ID, device_id))
    documents: dict[str, Any] = {
        "normal": {"audiovideounits": [ours]},
        "blank": {"audiovideounits": [ours]},
        "empty": {"audiovideounits": []},
        "no_units": {},
        "mixed": {"audiovideounits": [foreign, ours]},
        "foreign": {"audiovideounits": [foreign]},
        "wrapped": {"data": ours},
    }
    if shape in documents:
        return json_answer(documents[shape])
    if shape == "truncated":
        whole = json_answer(documents["normal"]).text or ""
        return web.Response(text=whole[: len(whole) // 2], content_type="application/json")
    if shape == "redirect":
        return web.Response(status=302, headers={"Location": "https://127.0.0.1:1/elsewhere"})
    if shape == "html":
        return web.Response(text=str(CAPTIVE_PORTAL.body), content_type="text/html")
    return web.Response(status=204)


def _catalog(state: CloudState, name: str, found: list[dict[str, str]]) -> web.Response:
    if state.options.catalog_shape == "array":
        return json_answer(found)
    return json_answer({name if state.options.catalog_shape == "plants" else "value": found})
