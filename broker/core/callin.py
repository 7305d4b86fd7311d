"""The call-in operation's answer, as the vendor's page has it, turned into a ticket or a classified failure.

Pure: it is given status, headers and body. Facts and page: README, "What is unverified about the cloud".
The one invariant: whatever the cloud says, the outcome is an IssuedTicket or an UpstreamError.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from broker.core.answer import HttpAnswer, plain_text, unix_seconds
from broker.core.secret import Secret
from broker.errors import (
    GatewayOffline,
    InvalidResponse,
    QuotaExhausted,
    RateLimited,
    TokenRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
    UserActionRequired,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = "issuer"
MOST_LEVELS = 16  # of a sender
LONGEST_TICKET_BYTES = 16 * 1024
QUOTA_WAIT_SECONDS = 3600.0
"""Where a quota answer does not say when: what the vendor's own firmware waits."""
LONGEST_QUOTA_SECONDS = 7 * 86_400.0
RATE_WAIT_SECONDS = 60.0
FEWER_CALLS = 'keep fewer tickets warm, set warm = "adaptive", or get a larger subscription'
IN_THE_WAY = "a captive portal, a proxy or a firewall may stand in the way, or base_url is wrong"
JWT_PARTS = 3
"""Header, claims, signature (RFC 7519 section 3)."""

_CLOCK = re.compile(r"\b(?:(\d{1,2})\.)?(\d{1,3}):(\d{2}):(\d{2})\b", re.ASCII)
_DAYS = re.compile(r"\b(\d{1,3}(?:\.\d{1,6})?)\s*days?\b", re.ASCII | re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in (\d{1,6}) second", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """A ticket as the operation gave it.

    `issued_at`, `expires_at` are Unix seconds read (not verified) from the JWT, None where it tells none or is
    opaque; `server_seconds` is the answer's Date plus Age as Unix time; `sender` is the answer's entry, as it came.
    """

    ticket: Secret
    sender: Mapping[str, object]
    issued_at: int | None
    expires_at: int | None
    server_seconds: float | None


def read_ticket(answer: HttpAnswer, *, plant_id: str, ticket_pointer: str | None = None) -> IssuedTicket:
    """The ticket in an answer: the one at `ticket_pointer` (RFC 6901), else the entry of our plant, else the first.

    Raises: UpstreamError.
    """
    if not answer.is_success:
        raise classify(answer)
    document = answer.json_value()
    if document is None:
        raise _no_ticket(answer, "a web page" if answer.is_html else "something that is no JSON")
    text, sender = _at_pointer(document, ticket_pointer) if ticket_pointer else _of_plant(document, plant_id)
    if text is None:
        where = f"nothing usable at {ticket_pointer}" if ticket_pointer else "no ticket"
        raise _no_ticket(answer, where)
    issued_at, expires_at = read_lifetime(text)
    server_seconds = answer.server_seconds()
    if expires_at is not None and server_seconds is not None and expires_at <= server_seconds:
        raise _invalid(answer, f"{SERVICE} gave a ticket that was already expired")
    return IssuedTicket(Secret(text), sender, issued_at, expires_at, server_seconds)


def read_lifetime(ticket: str) -> tuple[int | None, int | None]:
    """`iat` (else `nbf`) and `exp` of a JWT, unverified; None for what it does not tell plausibly or is opaque."""
    parts = ticket.split(".")
    if len(parts) != JWT_PARTS:
        return None, None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(claims, dict):
        return None, None
    expires_at = unix_seconds(claims.get("exp"))
    issued_at = unix_seconds(claims.get("iat"))
    if issued_at is None:
        issued_at = unix_seconds(claims.get("nbf"))
    if issued_at is not None and expires_at is not None and issued_at >= expires_at:
        issued_at = None
    return issued_at, expires_at


def classify(answer: HttpAnswer) -> UpstreamError:
    """The failure that a status outside 2xx means; the table is the README's, section "What the cloud may answer"."""
    match answer.status:
        case 401 if not answer.is_html:
            return _unauthorized(answer)
        case 403 if not answer.is_html:
            return _forbidden(answer)
        case 429:
            return _rate_limited(answer)
        case 469 | 470:
            return _person_must_act(answer)
        case 404 | 407 | 408 | 486:
            return _out_of_reach(answer)
    return _out_of_reach(answer) if answer.is_server_error else _misdirected(answer)


def _misdirected(answer: HttpAnswer) -> UpstreamError:
    """Another 4xx is the operator's; a redirect or a page comes from somebody who is not the API."""
    if not (answer.is_html or answer.is_redirect):
        return _rejected(answer, "check plant_id, device_id and the api section of this account")
    shape = "a redirect, which is not followed" if answer.is_redirect else "a web page"
    return _invalid(answer, f"{SERVICE} answered {answer.status} with {shape}", hint=IN_THE_WAY)


def _out_of_reach(answer: HttpAnswer) -> UpstreamError:
    """What passes with time: the gateway offline, a busy panel, a proxy, a failing server."""
    wait = answer.retry_after_seconds()
    text = f"{SERVICE} answered {answer.status}"
    if answer.status == HTTPStatus.NOT_FOUND:
        why = "the gateway is offline, or plant_id or device_id is wrong"
        return GatewayOffline(text, service=SERVICE, status=answer.status, hint=why, retry_after_seconds=wait)
    hint: str | None = None
    match answer.status:
        case 407:
            text = f"the proxy before {SERVICE} wants credentials"
            hint = "check the user and password in HTTPS_PROXY"
        case 486:
            text += ": the panel is busy"
        case 511:
            text = f"a network login page stands before {SERVICE}"
            hint = "this network wants its own login before it lets anything through"
        case _:
            text = _with_text(text, _message(answer))
    return UpstreamUnavailable(text, service=SERVICE, status=answer.status, hint=hint, retry_after_seconds=wait)


def _person_must_act(answer: HttpAnswer) -> UserActionRequired:
    why = {469: "the password has expired", 470: "terms of use wait to be accepted"}[answer.status]
    return UserActionRequired(
        f"{SERVICE} answered {answer.status}: {why}",
        service=SERVICE,
        status=answer.status,
        hint="open the vendor's own app with this account and do what it asks",
    )


def _unauthorized(answer: HttpAnswer) -> UpstreamRejected:
    """401: the message decides whether the subscription key is meant; any other may heal with a fresh token."""
    message = _message(answer).lower()
    if "subscription key" in message:
        return UpstreamRejected(
            f"{SERVICE} names the subscription key as {'missing' if 'missing' in message else 'invalid'}",
            service=SERVICE,
            status=answer.status,
            hint="check subscription_key of this account against the profile page of the developer portal",
        )
    return TokenRefused(
        f"{SERVICE} refused the token, or this plant or device",
        service=SERVICE,
        status=answer.status,
        hint="if it stays: check plant_id, device_id and who is logged in (eliot-broker status); for api.token and "
        "api.scheme run: eliot-broker probe NAME",
    )


def _forbidden(answer: HttpAnswer) -> UpstreamError:
    """403: the quota where the message says so, else the operator's."""
    message = _message(answer)
    if "quota" not in message.lower():
        return _rejected(answer, "the application or the account may not do this: check its registration and scopes")
    seconds = quota_wait_seconds(message)
    if seconds is None:
        seconds = answer.retry_after_seconds()
    return QuotaExhausted(
        f"{SERVICE}: the call quota is used up",
        service=SERVICE,
        status=answer.status,
        retry_after_seconds=QUOTA_WAIT_SECONDS if seconds is None else seconds,
        hint=FEWER_CALLS,
    )


def _rejected(answer: HttpAnswer, hint: str) -> UpstreamRejected:
    text = _with_text(f"{SERVICE} answered {answer.status}", _message(answer))
    return UpstreamRejected(text, service=SERVICE, status=answer.status, hint=hint)


def _with_text(text: str, message: str) -> str:
    said = plain_text(message)
    return f"{text}: {said}" if said else text


def quota_wait_seconds(message: str) -> float | None:
    """Until when a quota message says to wait: `hh:mm:ss`, `d.hh:mm:ss` or `2.12 days`; at most a week."""
    days = _DAYS.search(message)
    if days:
        return min(float(days.group(1)) * 86_400, LONGEST_QUOTA_SECONDS)
    clock = _CLOCK.search(message)
    if not clock:
        return None
    day, hour, minute, second = (int(part or 0) for part in clock.groups())
    return min(float(day * 86_400 + hour * 3600 + minute * 60 + second), LONGEST_QUOTA_SECONDS)


def _rate_limited(answer: HttpAnswer) -> RateLimited:
    told = _TRY_AGAIN.search(_message(answer))
    seconds = min(float(told.group(1)), 86_400.0) if told else answer.retry_after_seconds()
    return RateLimited(
        f"{SERVICE} answered 429, too many requests",
        service=SERVICE,
        status=answer.status,
        retry_after_seconds=RATE_WAIT_SECONDS if seconds is None else seconds,
    )


def _message(answer: HttpAnswer) -> str:
    """What the answer says to people: `{"statusCode": N, "message": "…"}`, or the start of a plain text."""
    fields = answer.json_object()
    if fields is not None:
        inner = fields.get("error")
        message = fields.get("message") or (inner.get("message") if isinstance(inner, dict) else None)
        return message if isinstance(message, str) else ""
    return "" if answer.is_html else answer.body[:1000].decode("utf-8", "replace")


def _of_plant(document: object, plant_id: str) -> tuple[str | None, Mapping[str, object]]:
    """The entry of our plant, else one that names no plant, else the first that has a ticket."""
    entries = [(text, sender) for text, sender in _entries(document) if text is not None]
    wanted = plant_id.strip().lower()
    for accepted in ({wanted}, {""}, None):
        for text, sender in entries:
            if accepted is None or _plant_of(sender) in accepted:
                return text, sender
    return None, {}


def _entries(document: object) -> Iterator[tuple[str | None, Mapping[str, object]]]:
    units = document.get("audiovideounits") if isinstance(document, dict) else None
    for unit in units if isinstance(units, list) else []:
        if isinstance(unit, dict):
            yield _usable(unit.get("ticket")), _sender(unit)


def _plant_of(sender: Mapping[str, object]) -> str:
    plant = sender.get("plant")
    identity = plant.get("id") if isinstance(plant, dict) else None
    return identity.strip().lower() if isinstance(identity, str) else ""


def _at_pointer(document: object, pointer: str) -> tuple[str | None, Mapping[str, object]]:
    """The value at an RFC 6901 pointer, and the `sender` beside it where there is one."""
    parent: object = None
    value = document
    for raw in pointer.split("/")[1:]:
        step = raw.replace("~1", "/").replace("~0", "~")
        parent = value
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9]\d{0,5}", step, re.ASCII):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None, {}
    return _usable(value), _sender(parent) if isinstance(parent, dict) else {}


def _sender(unit: Mapping[str, object]) -> Mapping[str, object]:
    """The entry's `sender`, as it came; none that is deeper than can be written again, or larger than a ticket."""
    sender = unit.get("sender")
    if not isinstance(sender, dict) or not _is_within(sender, MOST_LEVELS):
        return {}
    return sender if len(json.dumps(sender)) <= LONGEST_TICKET_BYTES else {}


def _is_within(value: object, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inside is None or (levels > 0 and all(_is_within(each, levels - 1) for each in inside))


def _usable(ticket: object) -> str | None:
    """A ticket that can be carried: printable, without blanks inside, at most 16 KiB."""
    text = ticket.strip() if isinstance(ticket, str) else ""
    if not text or not text.isprintable() or " " in text:  # the only blank that is printable
        return None
    return text if len(text.encode("utf-8", "replace")) <= LONGEST_TICKET_BYTES else None


def _no_ticket(answer: HttpAnswer, what: str) -> InvalidResponse:
    hint = IN_THE_WAY if answer.is_html else None
    if answer.json_object() is not None:
        hint = "set api.ticket_pointer if the answer has changed its shape"
    return _invalid(answer, f"{SERVICE} answered {answer.status} with {what}", hint=hint)


def _invalid(answer: HttpAnswer, message: str, *, hint: str | None = None) -> InvalidResponse:
    wait = answer.retry_after_seconds()
    return InvalidResponse(message, service=SERVICE, status=answer.status, hint=hint, retry_after_seconds=wait)
