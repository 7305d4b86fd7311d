"""Every row of the contract's table over a real Unix socket: status, headers and golden bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.core.secret import Secret
from broker.errors import (
    BrokerError,
    ClockUnsynchronized,
    ConfigError,
    GatewayOffline,
    LoginRejected,
    LoginRequired,
    QuotaExhausted,
    RateLimited,
    ResponseMismatch,
    ShortValidity,
    ShuttingDown,
    StoreUnavailable,
    UpstreamRejected,
    UpstreamUnavailable,
    UserActionRequired,
)
from tests.api.fake_backend import ticket

if TYPE_CHECKING:
    from tests.api.conftest import Broker

TICKET = "http://localhost/v1/tickets/front-door"
GOLDEN_TICKET = (
    '{"name": "front-door", "ticket": "ticket-front-door-7", "generation": 7, "issued_at": 1800000000, '
    '"expires_at": 1800000300, "expires_in": 287, "plant_id": "plant-1", "device_id": "device-1", '
    '"sender": {"system": "videodoorentry"}}'
)

OK_ROUTES: list[tuple[str, str, int, Any]] = [
    ("GET", "/v1/accounts", 200, {"accounts": [{"name": "home", "state": "logged_in"}]}),
    ("GET", "/v1/accounts/home", 200, {"name": "home", "state": "logged_in"}),
    (
        "POST",
        "/v1/accounts/home/login",
        201,
        {
            "authorization_url": "https://login.example/a",
            "redirect_uri": "http://localhost:8400/callback",
            "expires_at": 1_800_000_600,
        },
    ),
    ("POST", "/v1/accounts/home/refresh", 200, {"name": "home", "state": "logged_in"}),
    ("POST", "/v1/accounts/home/logout", 200, {"name": "home", "state": "logged_out"}),
    ("POST", "/v1/reload", 200, {"changed": ["tickets.front-door"]}),
    ("GET", "/v1/status", 200, {"version": "0", "runway": {"seconds": 86400}}),
    ("GET", "/healthz", 200, {"status": "live"}),
    ("GET", "/readyz", 200, {"ready": True, "reasons": []}),
]


@pytest.mark.parametrize(("method", "path", "status", "body"), OK_ROUTES)
async def test_a_route_answers_with_its_document(
    broker: Broker, method: str, path: str, status: int, body: object
) -> None:
    async with broker.session.request(method, f"http://localhost{path}") as response:
        assert (response.status, await response.json()) == (status, body)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "eliot-broker"


async def test_a_ticket_is_given_whole_with_its_generation_as_etag(broker: Broker) -> None:
    async with broker.session.get(TICKET) as response:
        assert await response.text() == GOLDEN_TICKET
        assert response.status == 200
        assert response.headers["ETag"] == '"7"'
        assert response.headers["Vary"] == "Accept"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.content_type == "application/json"
    asked = {"min_validity_seconds": 0, "wait_seconds": None, "newer_than": None}
    assert broker.backend.asked == [("ticket", "front-door", asked)]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/jwt", "application/jwt"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("application/json;q=0.5, text/plain", "text/plain"),
    ],
)
async def test_the_bare_ticket_comes_to_who_prefers_it(broker: Broker, accept: str, content_type: str) -> None:
    async with broker.session.get(TICKET, headers={"Accept": accept}) as response:
        assert await response.read() == b"ticket-front-door-7"
        assert response.content_type == content_type
        assert response.headers["ETag"] == '"7"'


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "text/plain;q=0", "text/plain;q=x", ""])
async def test_json_comes_to_who_does_not_prefer_the_bare_ticket(broker: Broker, accept: str) -> None:
    async with broker.session.get(TICKET, headers={"Accept": accept}) as response:
        assert response.content_type == "application/json"


async def test_a_single_use_ticket_has_no_etag(broker: Broker) -> None:
    broker.backend.answers["ticket"] = ticket(single_use=True)
    async with broker.session.get(TICKET) as response:
        assert response.status == 200
        assert "ETag" not in response.headers


async def test_query_and_condition_reach_the_backend(broker: Broker) -> None:
    headers = {"If-None-Match": 'W/"5", "6"'}
    status, _ = await broker.json("GET", "/v1/tickets/front-door?min_validity=60&wait=300", headers=headers)
    assert status == 200
    asked = {"min_validity_seconds": 60, "wait_seconds": 300, "newer_than": 6}
    assert broker.backend.asked == [("ticket", "front-door", asked)]


async def test_a_foreign_etag_is_no_generation_and_so_does_not_match(broker: Broker) -> None:
    status, _ = await broker.json("GET", "/v1/tickets/front-door", headers={"If-None-Match": '"abc"'})
    assert status == 200
    assert broker.backend.asked[0][2]["newer_than"] is None


async def test_the_newest_generation_is_not_sent_again(broker: Broker) -> None:
    broker.backend.answers["ticket"] = None
    async with broker.session.get(TICKET, headers={"If-None-Match": '"7"'}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["ETag"] == '"7"'
        assert response.headers["Vary"] == "Accept"
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "query",
    [
        "wait=301", "wait=-1", "wait=1.5", "wait=", "wait=abc", "wait=1e2", "wait=%D9%A3", "wait=1&wait=2",
        "min_validity=x", "min_validity=99999999999", "min_valdity=60", "&".join(["a=1"] * 40),
    ],
)  # fmt: skip
async def test_a_query_that_cannot_be_understood_is_a_bad_request(broker: Broker, query: str) -> None:
    status, body = await broker.json("GET", f"/v1/tickets/front-door?{query}")
    assert (status, body["code"], body["remedy"]) == (400, "bad_request", "fix")
    assert broker.backend.asked == []


@pytest.mark.parametrize("condition", ["*", "7, 8", "x", ""])
async def test_a_condition_that_is_no_entity_tag_is_a_bad_request(broker: Broker, condition: str) -> None:
    status, body = await broker.json("GET", "/v1/tickets/front-door", headers={"If-None-Match": condition})
    assert (status, body["code"]) == (400, "bad_request")


async def test_a_generation_without_its_quotes_is_understood_in_either_condition(broker: Broker) -> None:
    async with broker.session.get(TICKET, headers={"If-None-Match": "7"}):
        assert broker.backend.asked[-1][2]["newer_than"] == 7
    async with broker.session.post(TICKET + "/refresh", headers={"If-Match": "7"}):
        assert broker.backend.asked[-1] == ("renew", "front-door", {"refused_generation": 7})


async def test_a_refused_ticket_is_renewed_by_its_generation(broker: Broker) -> None:
    async with broker.session.post(TICKET + "/refresh", headers={"If-Match": '"7"'}) as response:
        assert response.status == 200
        assert response.headers["ETag"] == '"8"'
        assert (await response.json())["ticket"] == "ticket-front-door-8"
    assert broker.backend.asked == [("renew", "front-door", {"refused_generation": 7})]


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-Match": '"'}, {"If-Match": 'W/"7"'}])
async def test_a_renewal_that_names_no_generation_is_a_bad_request(broker: Broker, headers: dict[str, str]) -> None:
    status, body = await broker.json("POST", "/v1/tickets/front-door/refresh", headers=headers)
    assert (status, body["code"]) == (400, "bad_request")
    assert broker.backend.asked == []


async def test_the_list_of_tickets_says_what_this_peer_may_have(broker: Broker) -> None:
    broker.backend.policy = replace(broker.backend.policy, own_uid=4_000_000_001)
    status, body = await broker.json("GET", "/v1/tickets")
    assert status == 200
    assert [(row["name"], row["allowed"]) for row in body["tickets"]] == [("front-door", True), ("garage", False)]
    assert "ticket-front-door" not in str(body)


async def test_the_id_token_looks_like_a_ticket(broker: Broker) -> None:
    async with broker.session.get("http://localhost/v1/accounts/home/id-token") as response:
        assert response.status == 200
        assert response.headers["ETag"] == '"3"'
        assert await response.text() == (
            '{"name": "home", "id_token": "the.id.token", "generation": 3, "issued_at": 1800000000, '
            '"expires_at": 1800003600, "expires_in": 3587}'
        )


async def test_a_login_response_reaches_the_backend_as_a_secret(broker: Broker) -> None:
    pasted = {"response": " http://localhost:8400/callback?code=c&state=s\n"}
    status, body = await broker.json("POST", "/v1/accounts/home/login/complete", json=pasted)
    assert (status, body) == (200, {"name": "home", "state": "logged_in"})
    response = Secret("http://localhost:8400/callback?code=c&state=s")
    assert broker.backend.asked == [("complete_login", "home", {"response": response})]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"response": 1}', b'{"response": " "}', b"[" * 9000])
async def test_a_login_response_that_cannot_be_read_is_a_bad_request(broker: Broker, body: bytes) -> None:
    status, problem = await broker.json("POST", "/v1/accounts/home/login/complete", data=body)
    assert (status, problem["code"]) == (400, "bad_request")
    assert broker.backend.asked == []


async def test_a_client_that_expects_continue_is_told_to(broker: Broker) -> None:
    body = b'{"response": "code"}'
    answer = await broker.raw(
        b"POST /v1/accounts/home/login/complete HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_metrics_and_the_description_have_their_types(broker: Broker) -> None:
    async with broker.session.get("http://localhost/metrics") as response:
        assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert await response.text() == "# EOF\n"
    status, body = await broker.json("GET", "/openapi.json")
    assert (status, body["openapi"]) == (200, "3.1.0")


async def test_a_broker_that_is_not_ready_says_503_and_why(broker: Broker) -> None:
    broker.backend.answers["readiness"] = (False, {"ready": False, "reasons": ["front-door: login_required"]})
    assert await broker.json("GET", "/readyz") == (503, {"ready": False, "reasons": ["front-door: login_required"]})


PROBLEMS: list[tuple[BrokerError, int, str, str, str | None]] = [
    (LoginRequired("x"), 503, "login_required", "login", None),
    (ConfigError("x"), 502, "config_error", "fix", None),
    (StoreUnavailable("x"), 502, "state_unavailable", "fix", None),
    (UserActionRequired("x", service="issuer"), 502, "user_action_required", "fix", None),
    (UpstreamRejected("x", service="issuer"), 502, "config_error", "fix", None),
    (UpstreamUnavailable("x", service="issuer", retry_after_seconds=0.2), 503, "upstream_unavailable", "retry", "1"),
    (QuotaExhausted("x", service="issuer", retry_after_seconds=59.1), 503, "quota_exhausted", "retry", "60"),
    (RateLimited("x", service="issuer"), 503, "rate_limited", "retry", "5"),
    (GatewayOffline("x", service="issuer"), 503, "gateway_offline", "retry", "5"),
    (ClockUnsynchronized("x"), 503, "clock_unsynchronized", "retry", "5"),
    (ShuttingDown("x"), 503, "shutting_down", "retry", "5"),
    (ShortValidity("x", available_for_seconds=41.9), 503, "short_validity", "retry", "5"),
    (LoginRejected("x"), 400, "bad_request", "login", None),
    (ResponseMismatch("x"), 400, "bad_request", "login", None),
]


@pytest.mark.parametrize("row", PROBLEMS, ids=lambda row: type(row[0]).__name__)
async def test_a_failure_is_a_problem_with_code_remedy_and_waiting_time(
    broker: Broker, row: tuple[BrokerError, int, str, str, str | None]
) -> None:
    error, status, code, remedy, retry_after = row
    broker.backend.answers["ticket"] = error
    async with broker.session.get(TICKET) as response:
        body = await response.json(content_type="application/problem+json")
        assert (response.status, body["status"]) == (status, status)
        assert (body["code"], body["remedy"], body["detail"]) == (code, remedy, "x")
        assert body["type"] == f"urn:eliot-broker:problem:{code}"
        assert response.headers.get("Retry-After") == retry_after
        assert body.get("retry_after") == (None if retry_after is None else int(retry_after))
        assert response.headers["Cache-Control"] == "no-store"
        assert body.get("available_for") == (41 if code == "short_validity" else None)


async def test_a_reload_that_failed_tells_all_problems(broker: Broker) -> None:
    broker.backend.answers["reload"] = ConfigError("two problems", problems=("a: b", "c: d"), hint="mend them")
    status, body = await broker.json("POST", "/v1/reload")
    assert (status, body["problems"], body["hint"]) == (502, ["a: b", "c: d"], "mend them")


async def test_a_defect_is_told_once_and_not_to_the_client(broker: Broker) -> None:
    broker.backend.answers["ticket"] = ZeroDivisionError("secret detail")
    async with broker.session.get(TICKET) as response:
        text = await response.text()
        assert response.status == 500
        assert '"code": "internal_error"' in text
        assert '"remedy": "none"' in text
        assert "secret detail" not in text
    assert [str(bug) for bug in broker.bugs] == ["secret detail"]
    broker.bugs.clear()
    status, _ = await broker.json("GET", "/healthz")
    assert status == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/tickets/", "/v1/tickets/a/b", "/v2/tickets", "//v1/tickets", "/V1/status"]
)
async def test_there_is_nothing_at_an_unknown_address(broker: Broker, path: str) -> None:
    status, body = await broker.json("GET", path)
    assert (status, body["code"]) == (404, "unknown_ticket" if path == "/v1/tickets/" else "bad_request")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v1/tickets", "GET"),
        ("OPTIONS", "/v1/tickets/front-door", "GET"),
        ("DELETE", "/v1/tickets/front-door/refresh", "POST"),
        ("GET", "/v1/reload", "POST"),
        ("PUT", "/healthz", "GET"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(broker: Broker, method: str, path: str, allow: str) -> None:
    async with broker.session.request(method, f"http://localhost{path}") as response:
        assert (response.status, response.headers["Allow"]) == (405, allow)
        assert (await response.json(content_type=None))["code"] == "bad_request"


async def test_head_is_refused_without_a_body(broker: Broker) -> None:
    async with broker.session.head(TICKET) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
    assert (await broker.json("GET", "/healthz"))[0] == 200


@pytest.mark.parametrize(("kind", "code"), [("tickets", "unknown_ticket"), ("accounts", "unknown_account")])
async def test_an_unknown_name_is_told_as_such(broker: Broker, kind: str, code: str) -> None:
    status, body = await broker.json("GET", f"/v1/{kind}/nobody")
    assert (status, body["code"]) == (404, code)


async def test_a_broker_without_configuration_says_so_for_any_ticket(broker: Broker) -> None:
    broker.backend.policy = replace(broker.backend.policy, tickets={})
    broker.backend.answers["tickets"] = ConfigError("broker.toml is broken")
    status, body = await broker.json("GET", "/v1/tickets/front-door")
    assert (status, body["code"]) == (502, "config_error")
