"""The API's description of itself: OpenAPI 3.1, written by hand as data.

Knows no route: tests hold it against the table and against a running daemon. The one invariant: problem codes,
their statuses and remedies are those of `broker.errors` and `broker.api.problems`.
"""

from __future__ import annotations

from typing import Any

from broker import __version__
from broker.api.parameters import MAX_NUMBER_LENGTH
from broker.api.problems import STATUS_OF_CODE
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
            "Requests with Origin, or a Host other than localhost or eliot-broker (or either with :80), are refused.",
        },
        "servers": [{"url": "http://localhost", "description": "over the Unix socket"}],
        "paths": _paths(),
        "components": {"schemas": _schemas(), "parameters": _parameters()},
    }


def _paths() -> Json:
    return {
        "/v1/tickets": _get("listTickets", "Every ticket, no secret", _body("TicketList"), codes=_CONFIGURED),
        "/v1/tickets/{name}": _get(
            "getTicket", "A valid ticket (peers in `allow`)", _vended("Ticket"), *_VEND, codes=_TICKET | _HAD
        ),
        "/v1/tickets/{name}/watch": _get("watchTicket", "A line at every change", _lines(), "name", codes=_TICKET),
        "/v1/tickets/{name}/refresh": _post(
            "renewTicket",
            "This one was refused by the door",
            _vended("Ticket"),
            "name",
            "ifMatch",
            "accept",
            codes=_TICKET | _HAD,
        ),
        "/v1/tickets/{name}/probe": _probe(),
        "/v1/accounts/{name}/homes": _get(
            "listHomes",
            "Plants and modules, where the service catalogue is open (admins)",
            _body("HomeList"),
            "name",
            codes=_ACCOUNT | _HAD,
        ),
        "/v1/accounts": _get("listAccounts", "Every account, no secret", _body("AccountList"), codes=_CONFIGURED),
        "/v1/accounts/{name}": _get("getAccount", "One account, no secret", _body("Account"), "name", codes=_ACCOUNT),
        "/v1/accounts/{name}/id-token": _get(
            "getIdToken", "The id token (admins, `allow_id_token`)", _vended("IdToken"), *_VEND, codes=_ACCOUNT | _HAD
        ),
        "/v1/accounts/{name}/login": _post(
            "beginLogin", "Begin a login (admins)", _body("Login"), "name", status="201", codes=_ACCOUNT | _LOGIN
        ),
        "/v1/accounts/{name}/login/complete": _post(
            "completeLogin",
            "Complete a login (admins)",
            _body("Account"),
            "name",
            body="LoginResponse",
            codes=_ACCOUNT | _LOGIN,
        ),
        "/v1/accounts/{name}/refresh": _post(
            "refreshAccount", "One refresh now (admins)", _body("Account"), "name", codes=_ACCOUNT | _LOGIN
        ),
        "/v1/accounts/{name}/logout": _post(
            "logout", "Drop login and tickets (admins)", _body("Account"), "name", codes=_ACCOUNT | _LOGIN
        ),
        "/v1/reload": _post(
            "reload", "Read the configuration again (admins)", _body("Object"), codes=_CONFIGURED | _STATE
        ),
        "/v1/status": _get("getStatus", "Everything, and the runway", _body("Object"), codes=_CONFIGURED),
        "/healthz": _get("isLive", "The process answers", _body("Object")),
        "/readyz": _readiness(),
        "/metrics": _get("getMetrics", "OpenMetrics", _text("application/openmetrics-text"), codes=_CONFIGURED),
        "/openapi.json": _get("getDescription", "This document", _body("Object")),
    }


_ANY = frozenset({Code.BAD_REQUEST, Code.NOT_ALLOWED, Code.SHUTTING_DOWN, Code.INTERNAL_ERROR})
_CONFIGURED = frozenset({Code.CONFIG_ERROR})  # there is one, and it can be read
_STATE = frozenset({Code.STATE_UNAVAILABLE})
_TICKET = _CONFIGURED | {Code.UNKNOWN_TICKET}
_ACCOUNT = _CONFIGURED | {Code.UNKNOWN_ACCOUNT}
_LOGIN = _STATE | {
    Code.LOGIN_REQUIRED,
    Code.UPSTREAM_UNAVAILABLE,
    Code.INVALID_RESPONSE,
    Code.CLOCK_UNSYNCHRONIZED,
}
_HAD = _LOGIN | {Code.QUOTA_EXHAUSTED, Code.GATEWAY_OFFLINE, Code.USER_ACTION_REQUIRED, Code.SHORT_VALIDITY}
_FIXED_ELSEWHERE = frozenset({Code.CONFIG_ERROR, Code.USER_ACTION_REQUIRED, Code.STATE_UNAVAILABLE})


def _problems(codes: frozenset[Code]) -> Json:
    """By status; too many requests are 429 where they were made of us, and 503 where the cloud says so to us."""
    by_status: dict[int, list[str]] = {429: [str(Code.RATE_LIMITED)]}
    upstream = {Code.RATE_LIMITED} if Code.UPSTREAM_UNAVAILABLE in codes else set()
    for code in sorted(codes | _ANY | upstream):
        status = STATUS_OF_CODE.get(code) or (502 if code in _FIXED_ELSEWHERE else 503)
        by_status.setdefault(status, []).append(str(code))
    return {str(status): _problem_of(status, by_status[status]) for status in sorted(by_status)}


def _problem_of(status: int, codes: list[str]) -> Json:
    narrowed: Json = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    response: Json = {
        "description": "why not, and who must act (RFC 9457): " + ", ".join(codes),
        "content": {"application/problem+json": {"schema": {"allOf": [_ref("Problem"), narrowed]}}},
    }
    if status in {429, 503}:
        seconds = {"description": "seconds; not where the remedy is `login`", "schema": {"type": "integer"}}
        response["headers"] = {"Retry-After": seconds}
    return response


def _readiness() -> Json:
    """The one whose 503 is an answer, and no problem."""
    item = _get("isReady", "Everything kept warm can be had; 503 with reasons where not", _body("Object"))
    item["get"]["responses"]["503"]["content"] |= _body("Object")["content"]
    return item


def _probe() -> Json:
    """The one request whose body may be left out."""
    summary = "Which token and header form the operation accepts, by at most four counted calls (admins)"
    item = _post("probeTicket", summary, _body("Probe"), "name", body="ProbeRequest", codes=_TICKET | _HAD)
    item["post"]["requestBody"]["required"] = False
    return item


_VEND = ("name", "minValidity", "wait", "ifNoneMatch", "accept")


_NO_CODES: frozenset[Code] = frozenset()


def _get(operation_id: str, summary: str, success: Json, *parameters: str, codes: frozenset[Code] = _NO_CODES) -> Json:
    return {"get": _operation(operation_id, summary, {"200": success}, parameters, codes)}


def _post(
    operation_id: str,
    summary: str,
    success: Json,
    *parameters: str,
    status: str = "200",
    body: str | None = None,
    codes: frozenset[Code] = _NO_CODES,
) -> Json:
    operation = _operation(operation_id, summary, {status: success}, parameters, codes)
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return {"post": operation}


def _operation(
    operation_id: str, summary: str, responses: Json, parameters: tuple[str, ...], codes: frozenset[Code]
) -> Json:
    if "ifNoneMatch" in parameters:
        responses["304"] = {"description": "the generation of If-None-Match is still the newest, and valid"}
    operation: Json = {
        "operationId": operation_id,
        "summary": summary,
        "responses": {**responses, **_problems(codes)},
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
    whole = {"type": "integer", "minimum": 0, "maximum": 10**MAX_NUMBER_LENGTH - 1}
    generation, bare = '"[0-9]{1,18}"', "[0-9]{1,18}"
    return {
        "name": {"name": "name", "in": "path", "required": True, "schema": TEXT},
        "minValidity": {"name": "min_validity", "in": "query", "description": "seconds", "schema": whole},
        "wait": {"name": "wait", "in": "query", "description": "seconds", "schema": {**whole, "maximum": 300}},
        "ifNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "description": "the generation that is known, quoted; several are a list",
            "schema": {**TEXT, "pattern": f"^({bare}|{generation}(, {generation})*)$"},
        },
        "ifMatch": {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": "the generation that was refused, quoted",
            "schema": {**TEXT, "pattern": f"^({bare}|{generation})$"},
        },
        "accept": {"name": "Accept", "in": "header", "schema": TEXT},
    }
