"""The API's error answers: every status of the facts' table, with its body, and the texts of the quota and the rate.

Knows no request. The one invariant: a body is `{"statusCode": N, "message": "..."}` with N the status itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from broker.sandbox.delivery import json_answer
from broker.sandbox.weather import Fault

if TYPE_CHECKING:
    from aiohttp import web

    from broker.sandbox.options import QuotaFormat

_DAY = 86_400

API_ERRORS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "Bad request"),
    "unauthorized": (401, "Unauthorized"),
    "missing_subscription_key": (
        401,
        (
            "Access denied due to missing subscription key. Make sure to include subscription key when making requests"
            " to an API."
        ),
    ),
    "invalid_subscription_key": (
        401,
        "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.",
    ),
    "forbidden": (403, "Forbidden"),
    "quota": (403, "Out of call volume quota. Quota will be replenished in 07:01:20."),
    "not_found": (404, "Resource not found"),
    "not_acceptable": (406, "Not acceptable"),
    "timeout": (408, "Request timeout"),
    "rate_limit": (429, "Rate limit is exceeded. Try again in 57 seconds."),
    "bad_parameter": (430, "Missing or invalid parameter"),
    "password_expired": (469, "Official application password expired"),
    "terms_to_accept": (470, "Official application terms and conditions expired"),
    "busy": (486, "Busy here"),
    "server_error": (500, "Internal server error"),
    "bad_gateway": (502, "Bad gateway"),
    "unavailable": (503, "Service unavailable"),
    "gateway_timeout": (504, "Gateway timeout"),
}

CAPTIVE_PORTAL = Fault(200, "<!DOCTYPE html><title>Welcome</title><p>Please accept our terms to use this Wi-Fi.</p>")


def api_error(name: str, message: str | None = None, headers: dict[str, str] | None = None) -> web.Response:
    """The answer of this name; 429 tells `Retry-After: 57` unless told otherwise. Raises: KeyError."""
    status, text = API_ERRORS[name]
    told = {"Retry-After": "57"} if name == "rate_limit" and headers is None else headers
    return json_answer({"statusCode": status, "message": message or text}, status, told)


def api_fault(name: str, *, message: str | None = None, headers: dict[str, str] | None = None) -> Fault:
    """A Fault that answers so, for `Script.add("call_in", ...)`. Raises: KeyError."""
    answer = api_error(name, message, headers)
    return Fault(answer.status, json.dumps(json.loads(answer.text or "")), dict(answer.headers))


def quota_answer(left_seconds: float, written: QuotaFormat) -> web.Response:
    """403 with the time until the quota is replenished, in one of the formats that were seen."""
    left = round(left_seconds)
    days, rest = divmod(left, _DAY)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    if written in ("retry-after", "silent"):
        headers = {"Retry-After": str(left)} if written == "retry-after" else {}
        return api_error("quota", "Out of call volume quota.", headers)
    shown = {
        "hh:mm:ss": clock if not days else f"{left // 3600:02}:{clock[3:]}",
        "d.hh:mm:ss": f"{days}.{clock}",
        "days": f"{left / _DAY:.2f} days",
    }[written]
    return api_error("quota", f"Out of call volume quota. Quota will be replenished in {shown}.")


def rate_answer(left_seconds: float) -> web.Response:
    """429 with the seconds to wait, in text and in `Retry-After`."""
    left = max(1, round(left_seconds))
    message = f"Rate limit is exceeded. Try again in {left} seconds."
    return api_error("rate_limit", message, {"Retry-After": str(left)})
