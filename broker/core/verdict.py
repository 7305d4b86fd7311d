"""What the token endpoint said, and what the redirect said: one table from answers to exceptions.

Pure. By the OAuth `error` first (RFC 6749 section 5.2), then by the AADB2C code, then by the HTTP status; a known
temporary code spares the grant whatever error carries it. The one invariant: only a JSON object with a known error
may cost the login or stop the account; a portal's page, a redirect, a truncated answer never do.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from broker.core.answer import HttpAnswer, number, plain_text
from broker.core.secret import Secret
from broker.core.tokens import TokenSet
from broker.errors import (
    GrantRejected,
    InvalidResponse,
    LoginRejected,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

GRANT_ERRORS = {
    "invalid_grant": "the login is expired, revoked or was never good here",
    "interaction_required": "the provider wants to see the person again",
    "login_required": "the provider wants to see the person again",
    "consent_required": "the provider wants the person's consent again",
}
OPERATOR_ERRORS = {
    "invalid_client": "check client_id and client_secret: a secret expires and is renewed on the developer portal",
    "unauthorized_client": "the application may not use this grant: check its registration and the policy in authority",
    "redirect_uri_mismatch": "redirect_uri must equal a registered reply URL exactly, trailing slash included",
    "invalid_request": "check client_id, redirect_uri, pkce and the token_params of this account",
    "invalid_scope": "check the scopes of this account against the application's registration",
    "unsupported_grant_type": "the provider does not do the authorization-code flow here: check token_endpoint",
}
TEMPORARY_ERRORS = frozenset({"temporarily_unavailable", "server_error", "slow_down"})

GRANT_CODES = {
    90080: "the login has expired",
    90129: "the login was revoked",
    90128: "the account no longer exists",
    90088: "the login was made for another application or policy",
    90087: "the login was not made for this endpoint",
}
OPERATOR_CODES = {
    90081: "the client secret is wrong or has expired: renew it on the developer portal, store the new one where "
    "client_secret says, then eliot-broker reload (a systemd credential: restart)",
    90006: "redirect_uri is not registered: it must equal a registered reply URL exactly, trailing slash included",
    90079: "the application needs a client_secret and none is configured",
    90084: "the application is a public client: remove client_secret",
    90092: "the application was disabled by its tenant",
    90055: "check the scopes of this account",
    90058: "the application may not have its access this way: check its registration",
    90068: "the application is not registered for this: check its registration",
    90107: "the application may not sign people in with this policy: check its registration",
    90115: "code_challenge is missing or wrong: check pkce",
    90117: "a configured scope is not one of the provider's",
} | dict.fromkeys(
    range(90007, 90019), "the request itself is wrong: check authority, client_id, redirect_uri and scopes"
)
TEMPORARY_CODES = frozenset({90035, 90048, 90085})
CANCELLED_CODE = 90091
FORGOT_PASSWORD_CODE = 90118

_CODE = re.compile(r"AADB2C(\d{5})")
_ERROR = re.compile(r"[a-z][a-z_]{0,39}")


def read_tokens(answer: HttpAnswer, *, service: str) -> TokenSet:
    """The tokens of a token-endpoint answer (RFC 6749 section 5.1); unknown fields are dropped.

    A token that came is not thrown away for its content type. Raises: GrantRejected, UpstreamError.
    """
    fields = answer.json_object() if answer.status == HTTPStatus.OK else None
    if fields is None or not (_text(fields, "id_token") or _text(fields, "access_token")):
        raise classify(answer, service=service)
    return TokenSet(
        id_token=_secret(fields, "id_token"),
        access_token=_secret(fields, "access_token"),
        refresh_token=_secret(fields, "refresh_token"),
        access_token_seconds=_lifetime(fields, "expires_in"),
        refresh_token_seconds=_lifetime(fields, "refresh_token_expires_in", "refresh_expires_in"),
        server_seconds=answer.server_seconds(),
    )


def classify(answer: HttpAnswer, *, service: str) -> UpstreamError:
    """The failure that an answer without tokens means."""
    if _may_speak_for_the_grant(answer):
        definite = _by_error(answer, service)
        if definite is not None:
            return definite
    return _by_status(answer, service)


def login_rejection(response: Mapping[str, str]) -> LoginRejected:
    """What an `error=` redirect means for the person who was logging in (RFC 6749 section 4.1.2.1)."""
    description = response.get("error_description", "")
    error, code = _known_form(response.get("error")), b2c_code(description)
    if code == CANCELLED_CODE or (error == "access_denied" and code is None):
        return LoginRejected(
            "the login was cancelled, or refused, on the provider's page", hint="log in again and accept"
        )
    if code == FORGOT_PASSWORD_CODE:
        return LoginRejected(
            "the person asked for a new password instead of logging in",
            hint="set a new password in the vendor's own app or page, then log in again",
        )
    name = _name(error, code)
    if error in TEMPORARY_ERRORS or code in TEMPORARY_CODES:
        return LoginRejected(f"the provider could not do the login now ({name})", hint="log in again in a few minutes")
    hint = OPERATOR_CODES.get(code or 0) or OPERATOR_ERRORS.get(error) or "log in again"
    return LoginRejected(_with_text(f"the provider refused the login ({name})", description), hint=hint)


def b2c_code(text: object) -> int | None:
    """The number of the first AADB2C code in an error description."""
    found = _CODE.search(text) if isinstance(text, str) else None
    return int(found.group(1)) if found else None


def _may_speak_for_the_grant(answer: HttpAnswer) -> bool:
    """An error document of the endpoint itself: JSON by name, no status of whoever stands before it."""
    refused = not (answer.is_success or answer.is_redirect or answer.is_server_error)
    by_others = {HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
    return answer.is_json and (answer.status == HTTPStatus.OK or (refused and answer.status not in by_others))


def _by_error(answer: HttpAnswer, service: str) -> UpstreamError | None:
    fields = answer.json_object() or {}
    description = fields.get("error_description")
    error, code = _known_form(fields.get("error")), b2c_code(description)
    name = _name(error, code)
    common: dict[str, Any] = {"service": service, "status": answer.status}
    if error in TEMPORARY_ERRORS or code in TEMPORARY_CODES:
        wait = answer.retry_after_seconds()
        return UpstreamUnavailable(
            _with_text(f"{service} cannot answer now ({name})", description), retry_after_seconds=wait, **common
        )
    if error in GRANT_ERRORS or (error not in OPERATOR_ERRORS and code in GRANT_CODES):
        why = GRANT_CODES.get(code or 0) or GRANT_ERRORS.get(error, "")
        return GrantRejected(f"{service} rejected the grant ({name}): {why}", hint="log in again", **common)
    if error == "invalid_request" and code in GRANT_CODES:  # B2C's catch-all error: the code is the finer word
        return GrantRejected(
            f"{service} rejected the grant ({name}): {GRANT_CODES[code]}", hint="log in again", **common
        )
    if error in OPERATOR_ERRORS or code in OPERATOR_CODES:
        hint = OPERATOR_CODES.get(code or 0) or OPERATOR_ERRORS.get(error)
        return UpstreamRejected(
            _with_text(f"{service} refused the application ({name})", description), hint=hint, **common
        )
    return None


def _by_status(answer: HttpAnswer, service: str) -> UpstreamError:
    status = answer.status
    wait = answer.retry_after_seconds()
    match status:
        case 407:
            return UpstreamUnavailable(
                f"the proxy before {service} wants credentials",
                service=service,
                status=status,
                hint="check the user and password in HTTPS_PROXY",
            )
        case 429:
            return RateLimited(
                f"{service} answered 429, too many requests", service=service, status=status, retry_after_seconds=wait
            )
        case 511:
            return UpstreamUnavailable(
                f"a network login page stands before {service}",
                service=service,
                status=status,
                hint="this network wants its own login before it lets anything through",
            )
    if status == HTTPStatus.REQUEST_TIMEOUT or answer.is_server_error:
        return UpstreamUnavailable(
            f"{service} answered {status}", service=service, status=status, retry_after_seconds=wait, ambiguous=True
        )
    return InvalidResponse(
        f"{service} answered {status} with {_shape(answer)}",
        service=service,
        status=status,
        retry_after_seconds=wait,
        hint=_shape_hint(answer),
        ambiguous=answer.is_success,
    )


def _shape(answer: HttpAnswer) -> str:
    if answer.is_redirect:
        return "a redirect, which is not followed"
    if answer.is_html:
        return "a web page instead of JSON"
    fields = answer.json_object()
    if fields is None:
        return "something that is no JSON object"
    if fields.get("error"):
        return f"an error it has no known name for ({_name(_known_form(fields['error']), None)})"
    return "no token in it"


def _shape_hint(answer: HttpAnswer) -> str | None:
    if answer.is_html or answer.is_redirect:
        return "a captive portal or a proxy may stand in the way, or the endpoint is configured wrongly"
    return None


def _known_form(error: object) -> str:
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def _name(error: str, code: int | None) -> str:
    return ", ".join(part for part in (error, f"AADB2C{code}" if code else "") if part) or "unnamed"


def _with_text(message: str, description: object) -> str:
    text = plain_text(_CODE.sub("", description).lstrip(": ") if isinstance(description, str) else "")
    return f"{message}: {text}" if text else message


def _text(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _secret(fields: Mapping[str, object], name: str) -> Secret | None:
    value = _text(fields, name)
    return None if value is None else Secret(value)


def _lifetime(fields: Mapping[str, object], *names: str) -> float | None:
    """Seconds, from a number or a string; 0 (Keycloak's word for "without end") and nonsense tell nothing."""
    for name in names:
        seconds = number(fields.get(name))
        if seconds is not None and 0 < seconds < 10 * 366 * 86_400:
            return seconds
    return None
