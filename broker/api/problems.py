"""BrokerError to RFC 9457: the one table that turns a failure into status, headers and body.

Knows no aiohttp, so that any protocol in front can use it. The one invariant: a body is made of what a
BrokerError was written with and nothing else, so no traceback and no secret can be in it.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from broker.errors import BrokerError, Code, ConfigError, Remedy, RequestError, ShortValidity

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM_TYPE = "application/problem+json"
DEFAULT_RETRY_AFTER_SECONDS = 5

TITLES = {
    Code.BAD_REQUEST: "the request cannot be understood",
    Code.NOT_ALLOWED: "this peer may not do that",
    Code.UNKNOWN_TICKET: "no such ticket",
    Code.UNKNOWN_ACCOUNT: "no such account",
    Code.LOGIN_REQUIRED: "a person must log in",
    Code.CONFIG_ERROR: "the configuration must be corrected",
    Code.QUOTA_EXHAUSTED: "the calls of the day are used up",
    Code.RATE_LIMITED: "too many requests",
    Code.GATEWAY_OFFLINE: "the gateway is offline",
    Code.USER_ACTION_REQUIRED: "a person must act in the vendor's app",
    Code.UPSTREAM_UNAVAILABLE: "the cloud cannot be reached",
    Code.INVALID_RESPONSE: "the cloud's answer makes no sense",
    Code.SHORT_VALIDITY: "valid, but for less than was asked",
    Code.CLOCK_UNSYNCHRONIZED: "no clock can be believed yet",
    Code.STATE_UNAVAILABLE: "the state directory cannot be used",
    Code.SHUTTING_DOWN: "the broker is stopping",
    Code.INTERNAL_ERROR: "a defect of the broker",
}

STATUS_OF_CODE = {
    Code.BAD_REQUEST: 400,
    Code.NOT_ALLOWED: 403,
    Code.UNKNOWN_TICKET: 404,
    Code.UNKNOWN_ACCOUNT: 404,
    Code.INTERNAL_ERROR: 500,
}
STATUS_OF_REMEDY = {Remedy.RETRY: 503, Remedy.LOGIN: 503, Remedy.FIX: 502, Remedy.NONE: 500}


class RequestRefused(RequestError):
    """What HTTP itself has a status for: 404 for a path, 405 for a method, 408, 429, 431."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: Code = Code.BAD_REQUEST,
        remedy: Remedy = Remedy.FIX,
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds
        self.headers = dict(headers or {})


BUG = RequestRefused(
    "the broker made a mistake of its own; it is in its log",
    status=500,
    code=Code.INTERNAL_ERROR,
    remedy=Remedy.NONE,
)


def status_of(error: BrokerError) -> int:
    """The HTTP status of a failure: by code where the request is at fault, else by remedy."""
    if isinstance(error, RequestRefused):
        return error.status
    return STATUS_OF_CODE.get(error.code) or STATUS_OF_REMEDY[error.remedy]


def retry_after(error: BrokerError) -> int | None:
    """Whole seconds, at least 1, after which asking again makes sense; None where waiting does not help."""
    if error.remedy is not Remedy.RETRY:
        return None
    seconds = error.retry_after_seconds
    return DEFAULT_RETRY_AFTER_SECONDS if seconds is None else max(1, math.ceil(seconds))


def problem(error: BrokerError) -> dict[str, Any]:
    """The members of the problem document (RFC 9457 section 3.1) and ours beside them."""
    status = status_of(error)
    members: dict[str, Any] = {
        "type": f"urn:eliot-broker:problem:{error.code}",
        "title": TITLES[error.code],
        "status": status,
        "detail": error.message or TITLES[error.code],
        "code": str(error.code),
        "remedy": str(error.remedy),
    }
    if (seconds := retry_after(error)) is not None:
        members["retry_after"] = seconds
    if isinstance(error, ShortValidity):
        members["available_for"] = max(0, math.floor(error.available_for_seconds))
    if isinstance(error, ConfigError) and error.problems:
        members["problems"] = list(error.problems)
    if error.hint is not None:
        members["hint"] = error.hint
    return members


def render(error: BrokerError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a failure."""
    headers = {"Content-Type": PROBLEM_TYPE, "Cache-Control": "no-store"}
    if (seconds := retry_after(error)) is not None:
        headers["Retry-After"] = str(seconds)
    if isinstance(error, RequestRefused):
        headers.update(error.headers)
    return status_of(error), headers, json.dumps(problem(error)).encode()


def reason_phrase(status: int) -> str:
    """The words behind a status on a status line."""
    return HTTPStatus(status).phrase
