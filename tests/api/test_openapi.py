"""The description says what the server does: every route in it, every route of it, no reference astray."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from broker.api.openapi import document
from broker.api.problems import TITLES, RequestRefused, status_of
from broker.core.access import Action
from broker.errors import BrokerError, Code, KnownFailure, Remedy, ShortValidity, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Broker


async def test_every_route_is_described_and_nothing_else_is(broker: Broker) -> None:
    served = {(route.method.lower(), route.template) for route in broker.listener.routes}
    described = {(method, path) for path, item in document()["paths"].items() for method in item}
    assert served == described


async def test_only_looking_needs_no_leave(broker: Broker) -> None:
    free = {route.template for route in broker.listener.routes if route.action is Action.LOOK}
    assert free == {
        "/v1/tickets", "/v1/accounts", "/v1/accounts/{name}", "/v1/status",
        "/healthz", "/readyz", "/metrics", "/openapi.json",
    }  # fmt: skip


def test_codes_and_remedies_are_those_of_the_errors() -> None:
    properties = document()["components"]["schemas"]["Problem"]["properties"]
    assert properties["code"]["enum"] == [str(code) for code in Code]
    assert properties["remedy"]["enum"] == [str(remedy) for remedy in Remedy]
    assert set(TITLES) == set(Code)


def test_each_problem_stands_under_its_status_wherever_it_is_told() -> None:
    told = {(status_of(error), str(error.code)) for error in failures()} | {(429, "rate_limited")}
    described = {
        (int(status), code)
        for item in document()["paths"].values()
        for operation in item.values()
        for status, response in operation["responses"].items()
        for code in codes_of(response)
    }
    assert described == told
    for item in document()["paths"].values():
        for operation in item.values():
            always = {code for response in operation["responses"].values() for code in codes_of(response)}
            assert always >= {"bad_request", "not_allowed", "rate_limited", "shutting_down", "internal_error"}


def failures() -> Iterator[BrokerError]:
    """One of each kind of failure that a request can meet; a bare BrokerError is a bug of ours."""
    upstream = [kind for kind in kinds(UpstreamError) if kind is not UpstreamError]
    yield from (kind("", service="") for kind in upstream)
    special = {KnownFailure, RequestRefused, ShortValidity, *kinds(UpstreamError)}
    yield from (kind("") for kind in kinds(BrokerError) if kind not in special and kind.__module__ == "broker.errors")
    yield ShortValidity("", available_for_seconds=1)


def kinds(of: type[Any]) -> list[type[Any]]:
    return [of, *(each for child in of.__subclasses__() for each in kinds(child))]


def codes_of(response: dict[str, Any]) -> list[str]:
    problem = response.get("content", {}).get("application/problem+json")
    return [] if problem is None else list(problem["schema"]["allOf"][1]["properties"]["code"]["enum"])


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_id() -> None:
    whole = document()
    for reference in re.findall(r'"#/(components/[^"]+)"', json.dumps(whole)):
        found = whole
        for part in reference.split("/"):
            found = found[part]
    ids = [operation["operationId"] for item in whole["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids)) == 19
    for path, item in whole["paths"].items():
        for operation in item.values():
            named = {"$ref": "#/components/parameters/name"} in operation.get("parameters", [])
            assert named == ("{name}" in path)
