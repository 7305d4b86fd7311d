"""The error answers of the token endpoints: Azure AD B2C's codes and texts (Microsoft's page «Error codes»).

Knows no grant and no request. The one invariant: every code that the facts name is here.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

from broker.sandbox.weather import Fault

# code -> (OAuth error, text)
AADB2C: dict[str, tuple[str, str]] = {
    "90006": (
        "redirect_uri_mismatch",
        "The redirect URI '{redirect_uri}' provided in the request is not registered for the client id '{client_id}'.",
    ),
    "90007": (
        "invalid_request",
        "The application associated with client id '{client_id}' has no registered redirect URIs.",
    ),
    "90008": ("invalid_request", "The request does not contain a client id parameter."),
    "90010": ("invalid_request", "The request does not contain a scope parameter."),
    "90011": (
        "invalid_request",
        "The client id '{client_id}' provided in the request does not match client id 'other' registered in policy.",
    ),
    "90012": ("invalid_request", "The scope '{scope}' provided in request is not supported."),
    "90013": ("unsupported_response_type", "The requested response type provided in the request is not supported."),
    "90014": ("invalid_request", "The requested response mode provided in the request is not supported."),
    "90016": ("invalid_request", "The requested client assertion type does not match the expected type."),
    "90017": ("invalid_request", "The client assertion provided in the request is invalid."),
    "90018": (
        "unauthorized_client",
        "The client id '{client_id}' specified in the request is not registered in tenant '{tenant}'.",
    ),
    "90035": ("temporarily_unavailable", "The service is temporarily unavailable. Please retry after a few minutes."),
    "90048": ("server_error", "An unhandled exception has occurred on the server."),
    "90055": (
        "invalid_request",
        "The scope '{scope}' provided in request must specify a resource, such as 'https://example.com/calendar.read'.",
    ),
    "90058": ("unauthorized_client", "The provided application is not configured to allow public clients."),
    "90068": (
        "unauthorized_client",
        (
            "The provided application with ID '{client_id}' is not valid against this service. Please use an"
            " application created via the B2C portal and try again."
        ),
    ),
    "90079": ("invalid_request", "Clients must send a client_secret when redeeming a confidential grant."),
    "90080": ("invalid_grant", "The provided grant has expired. Please re-authenticate and try again."),
    "90081": (
        "invalid_client",
        (
            "The specified client_secret does not match the expected value for this client. Please correct the"
            " client_secret and try again."
        ),
    ),
    "90084": (
        "invalid_request",
        "Public clients should not send a client_secret when redeeming a publicly acquired grant.",
    ),
    "90085": ("server_error", "The service has encountered an internal error. Please reauthenticate and try again."),
    "90086": ("unsupported_grant_type", "The supplied grant_type is not supported."),
    "90087": ("invalid_grant", "The provided grant has not been issued for this version of the protocol endpoint."),
    "90088": ("invalid_grant", "The provided grant has not been issued for this endpoint."),
    "90091": ("access_denied", "The user has cancelled entering self-asserted information."),
    "90092": (
        "unauthorized_client",
        (
            "The provided application with ID '{client_id}' is disabled for the tenant '{tenant}'. Please enable the"
            " application and try again."
        ),
    ),
    "90107": (
        "invalid_request",
        (
            "The application with ID '{client_id}' cannot get an ID token either because the openid scope was not"
            " provided in the request or the application is not authorized for it."
        ),
    ),
    "90115": (
        "invalid_request",
        (
            "When requesting the 'code' response_type, the scope parameter must include a resource or client ID for"
            " access tokens, and 'openid' for ID tokens. Additionally include 'offline_access' for refresh tokens."
        ),
    ),
    "90117": ("invalid_request", "The scope '{scope}' provided in the request is not supported."),
    "90118": ("access_denied", "The user has forgotten their password."),
    "90128": (
        "invalid_grant",
        "The account associated with this grant no longer exists. Please reauthenticate and try again.",
    ),
    "90129": ("invalid_grant", "The provided grant has been revoked. Please reauthenticate and try again."),
    "90183": ("invalid_grant", "The supplied code_verifier is invalid."),
}


class OAuthRefused(Exception):
    """A request that the cloud refuses: an AADB2C code by its digits, and what its text names."""

    def __init__(self, code: str, **facts: str) -> None:
        super().__init__(code)
        self.code = code
        self.error = AADB2C[code][0]
        self.facts = facts

    def description(self, now_seconds: float) -> str:
        """`error_description` as B2C writes it: three lines with CRLFs."""
        text = AADB2C[self.code][1].format_map(_Known(self.facts))
        when = datetime.fromtimestamp(now_seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return f"AADB2C{self.code}: {text}\r\nCorrelation ID: {uuid.uuid4()}\r\nTimestamp: {when}\r\n"

    def document(self, now_seconds: float, *, plain: bool = False) -> dict[str, str]:
        """The JSON answer; `plain` is another provider's, without the codes (RFC 6749 section 5.2)."""
        if plain:
            return {"error": self.error, "error_description": AADB2C[self.code][1].split(".")[0]}
        return {"error": self.error, "error_description": self.description(now_seconds)}


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"some-{key.replace('_', '-')}"


def token_fault(code: str, *, now_seconds: float = 0.0, commits: bool = False) -> Fault:
    """A Fault that answers with this code (`"90080"` or `"AADB2C90080"`), HTTP 400. Raises: KeyError."""
    document = OAuthRefused(code.removeprefix("AADB2C")).document(now_seconds)
    return Fault(400, json.dumps(document), {"Content-Type": "application/json; charset=utf-8"}, commits=commits)
