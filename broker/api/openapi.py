"""The API's description of itself: OpenAPI 3.1, written by hand as data.

Knows no route: a test holds it against the table. The one invariant: problem codes and remedies are those of
`broker.errors`.
"""

from __future__ import annotations

from typing import Any

from broker import __version__
from broker.errors import Code, Remedy

Json = dict[str, Any]

INTEGER: Json = {"type": "integer"}
OPTIONAL_INTEGER: Json = {"type": ["integer", "null"]}
TEXT: Json = {"type": "string"}


def document() -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "eliot-broker",
            "version": __version__,
            "description": "Tickets and logins over a Unix socket: curl --unix-socket PATH http://localhost/v1/status. "
            "Requests with Origin, or a Host other than localhost or eliot-broker, are refused.",
        },
        "servers": [{"url": "http://localhost", "description": "over the Unix socket"}],
        "paths": _paths(),
        "components": {"schemas": _schemas(), "parameters": _parameters(), "responses": _responses()},
    }


def _paths() -> Json:
    return {
        "/v1/tickets": _get("listTickets", "Every ticket, no secret", _body("TicketList")),
        "/v1/tickets/{name}": _get("getTicket", "A valid ticket (peers in `allow`)", _vended("Ticket"), *_VEND),
        "/v1/tickets/{name}/watch": _get("watchTicket", "A line at every change", _lines(), "name"),
        "/v1/tickets/{name}/refresh": _post(
            "renewTicket", "This one was refused by the door", _vended("Ticket"), "name", "ifMatch", "accept"
        ),
        "/v1/tickets/{name}/probe": _probe(),
        "/v1/accounts/{name}/homes": _get(
            "listHomes", "Plants and modules, where the service catalogue is open (admins)", _body("HomeList"), "name"
        ),
        "/v1/accounts": _get("listAccounts", "Every account, no secret", _body("AccountList")),
        "/v1/accounts/{name}": _get("getAccount", "One account, no secret", _body("Account"), "name"),
        "/v1/accounts/{name}/id-token": _get(
            "getIdToken", "The id token (admins, `allow_id_token`)", _vended("IdToken"), *_VEND
        ),
        "/v1/accounts/{name}/login": _post(
            "beginLogin", "Begin a login (admins)", _body("Login"), "name", status="201"
        ),
        "/v1/accounts/{name}/login/complete": _post(
            "completeLogin", "Complete a login (admins)", _body("Account"), "name", body="LoginResponse"
        ),
        "/v1/accounts/{name}/refresh": _post("refreshAccount", "One refresh now (admins)", _body("Account"), "name"),
        "/v1/accounts/{name}/logout": _post("logout", "Drop login and tickets (admins)", _body("Account"), "name"),
        "/v1/reload": _post("reload", "Read the configuration again (admins)", _body("Object")),
        "/v1/status": _get("getStatus", "Everything, and the runway", _body("Object")),
        "/healthz": _get("isLive", "The process answers", _body("Object")),
        "/readyz": _get("isReady", "Everything kept warm can be had; 503 with reasons where not", _body("Object")),
        "/metrics": _get("getMetrics", "OpenMetrics", _text("application/openmetrics-text")),
        "/openapi.json": _get("getDescription", "This document", _body("Object")),
    }


def _probe() -> Json:
    """The one request whose body may be left out."""
    summary = "Which token and header form the operation accepts, by at most four counted calls (admins)"
    item = _post("probeTicket", summary, _body("Probe"), "name", body="ProbeRequest")
    item["post"]["requestBody"]["required"] = False
    return item


_VEND = ("name", "minValidity", "wait", "ifNoneMatch", "accept")


def _get(operation_id: str, summary: str, success: Json, *parameters: str) -> Json:
    return {"get": _operation(operation_id, summary, {"200": success}, parameters)}


def _post(
    operation_id: str, summary: str, success: Json, *parameters: str, status: str = "200", body: str | None = None
) -> Json:
    operation = _operation(operation_id, summary, {status: success}, parameters)
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return {"post": operation}


def _operation(operation_id: str, summary: str, responses: Json, parameters: tuple[str, ...]) -> Json:
    if "ifNoneMatch" in parameters:
        responses["304"] = {"description": "the generation of If-None-Match is still the newest, and valid"}
    operation: Json = {
        "operationId": operation_id,
        "summary": summary,
        "responses": {**responses, "default": {"$ref": "#/components/responses/Problem"}},
    }
    if parameters:
        operation["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    return operation


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _body(schema: str) -> Json:
    return {"description": "done", "content": {"application/json": {"schema": _ref(schema)}}}


def _text(*media_types: str) -> Json:
    return {"description": "done", "content": {media: {"schema": TEXT} for media in media_types}}


def _vended(schema: str) -> Json:
    content = _body(schema)["content"] | _text("application/jwt", "text/plain")["content"]
    tag = {"description": "the generation, quoted; not for single_use", "schema": TEXT}
    return {"description": "done", "headers": {"ETag": tag}, "content": content}


def _lines() -> Json:
    return {
        "description": "NDJSON, until the client hangs up; a heartbeat after 30 s of silence, `end` at shutdown",
        "content": {"application/x-ndjson": {"schema": _ref("WatchLine")}},
    }


def _object(required: dict[str, Json], **optional: Json) -> Json:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _schemas() -> Json:
    life = {"generation": INTEGER, "issued_at": INTEGER, "expires_at": INTEGER, "expires_in": INTEGER}
    states = ["logged_out", "login_pending", "logged_in", "login_required", "config_error"]
    ticket_row = _object(
        {
            "name": TEXT,
            "account": TEXT,
            "state": {"enum": ["fresh", "stale", "unavailable"]},
            "generation": OPTIONAL_INTEGER,
            "expires_at": OPTIONAL_INTEGER,
            "expires_in": OPTIONAL_INTEGER,
            "allowed": {"type": "boolean"},
        },
        code={"type": ["string", "null"]},
    )
    return {
        "Object": {"type": "object"},
        "TicketList": _object({"tickets": {"type": "array", "items": ticket_row}}),
        "Ticket": _object(
            {"name": TEXT, "ticket": TEXT, **life, "plant_id": TEXT, "device_id": TEXT, "sender": {"type": "object"}}
        ),
        "IdToken": _object({"name": TEXT, "id_token": TEXT, **life}),
        "AccountList": _object({"accounts": {"type": "array", "items": _ref("Account")}}),
        "Account": _object({"name": TEXT, "state": {"enum": states}}),
        "Login": _object(
            {"authorization_url": TEXT, "redirect_uri": TEXT, "expires_at": INTEGER},
            short_url={"type": ["string", "null"], "description": "leads there, from this machine"},
        ),
        "LoginResponse": _object({"response": {**TEXT, "description": "redirect URL, its query, or the bare code"}}),
        "ProbeRequest": _object({}, only_configured={"type": "boolean"}),
        "Probe": _object(
            {
                "attempts": {"type": "array", "items": _object({"token": TEXT, "scheme": TEXT, "verdict": TEXT})},
                "calls": INTEGER,
                "certain": {"type": "boolean"},
            }
        ),
        "HomeList": _object({"homes": {"type": "array", "items": _object({"plant_id": TEXT})}}),
        "WatchLine": _object({"type": {"enum": ["ticket", "unavailable", "heartbeat", "end"]}}),
        "Problem": _problem(),
    }


def _problem() -> Json:
    return _object(
        {
            "type": {**TEXT, "description": "urn:eliot-broker:problem:CODE"},
            "title": TEXT,
            "status": INTEGER,
            "detail": TEXT,
            "code": {"enum": [str(code) for code in Code]},
            "remedy": {"enum": [str(remedy) for remedy in Remedy]},
        },
        retry_after=INTEGER,
        available_for=INTEGER,
        hint=TEXT,
        problems={"type": "array", "items": TEXT},
    )


def _parameters() -> Json:
    whole = {"type": "integer", "minimum": 0}
    return {
        "name": {"name": "name", "in": "path", "required": True, "schema": TEXT},
        "minValidity": {"name": "min_validity", "in": "query", "description": "seconds", "schema": whole},
        "wait": {"name": "wait", "in": "query", "description": "seconds", "schema": {**whole, "maximum": 300}},
        "ifNoneMatch": {"name": "If-None-Match", "in": "header", "schema": TEXT},
        "ifMatch": {"name": "If-Match", "in": "header", "required": True, "schema": TEXT},
        "accept": {"name": "Accept", "in": "header", "schema": TEXT},
    }


def _responses() -> Json:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {"Problem": {"description": "why not, and who must act (RFC 9457)", "content": content}}
