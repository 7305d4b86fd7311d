"""How the sandbox's cloud behaves: everything that a test or a scenario may turn, with what the facts say as default.

Knows no HTTP. The one invariant: every request reads the options anew, so a change holds from the next request on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from broker.sandbox import credentials

Rotation = Literal["lenient", "strict"]
IssuerForm = Literal["tenant", "tfp"]
QuotaFormat = Literal["hh:mm:ss", "d.hh:mm:ss", "days", "retry-after", "silent"]
CallInShape = Literal[
    "normal", "empty", "no_content", "blank", "no_units", "mixed", "foreign", "wrapped", "html", "redirect", "truncated"
]


@dataclass(slots=True)
class Application:
    """A registered application; `secret` None is a public client, `kind` the sign-in it is registered for."""

    kind: Literal["partner", "b2c", "oidc"]
    secret: str | None = None
    secret_expires_at: float | None = None
    redirect_uris: set[str] = field(default_factory=lambda: set(credentials.REDIRECT_URIS))
    enabled: bool = True


@dataclass(slots=True)
class Person:
    """Somebody with an ELIOT account; `exists` False is an account that was deleted."""

    sub: str
    exists: bool = True


def _applications() -> dict[str, Application]:
    return {
        credentials.PARTNER_CLIENT_ID: Application("partner", credentials.PARTNER_CLIENT_SECRET),
        credentials.B2C_PUBLIC_CLIENT_ID: Application("b2c"),
        credentials.B2C_CONFIDENTIAL_CLIENT_ID: Application("b2c", credentials.B2C_CONFIDENTIAL_CLIENT_SECRET),
        credentials.OIDC_PUBLIC_CLIENT_ID: Application("oidc"),
        credentials.OIDC_CONFIDENTIAL_CLIENT_ID: Application("oidc", credentials.OIDC_CONFIDENTIAL_CLIENT_SECRET),
    }


def _people() -> dict[str, Person]:
    return {
        credentials.USER: Person(credentials.USER_SUB),
        credentials.OTHER_USER: Person(credentials.OTHER_USER_SUB),
    }


@dataclass(slots=True)
class Options:
    """The cloud's behaviour. Lifetimes are seconds; None in a `*_claims` or `*_fields` leaves that one out."""

    # who is known
    applications: dict[str, Application] = field(default_factory=_applications)
    people: dict[str, Person] = field(default_factory=_people)
    subscription_keys: set[str] = field(
        default_factory=lambda: {credentials.SUBSCRIPTION_KEY, credentials.OTHER_SUBSCRIPTION_KEY}
    )
    homes: dict[str, list[str]] = field(
        default_factory=lambda: {credentials.PLANT_ID: [credentials.DEVICE_ID, credentials.OTHER_DEVICE_ID]}
    )

    home_owner: str | None = None  # whose tokens may ask for tickets; None: anybody's

    # every error text ends in what was sent, secrets and all
    telltale: bool = False

    # the certificate it starts with (read once, at the start)
    certificate: Literal["good", "expired", "wrong_name"] = "good"

    # the cloud's clock: added to `now` in tokens and in the Date header
    clock_skew_seconds: float = 0.0

    # sign-in
    auto_login: bool = True
    user: str = credentials.USER
    stale_session_user: str | None = None  # signed in silently instead, unless the request says prompt=login
    login_answer: Literal["accept", "cancel", "forgot_password"] = "accept"
    code_seconds: int = 600

    # tokens
    id_token_seconds: int = 3600
    access_token_seconds: int = 3600
    refresh_token_seconds: int = 1_209_600
    sliding_window_seconds: int = 90 * 86_400
    rotation: Rotation = "lenient"
    issuer_form: IssuerForm = "tenant"
    id_token_claims: dict[str, Any] = field(default_factory=dict)
    id_token_algorithm: Literal["RS256", "HS256", "none"] = "RS256"
    sign_with: Literal["published", "unpublished"] = "published"
    numbers_as_strings: bool = False
    token_answer_fields: dict[str, Any] = field(default_factory=dict)

    # the API
    api_token: Literal["id_token", "access_token"] = "id_token"
    api_scheme: Literal["", "Bearer"] = ""
    gateway_online: bool = True
    daily_quota: int = 500
    quota_format: QuotaFormat = "hh:mm:ss"
    rate_limit: int = 0  # calls a minute; 0: none
    unknown_home_status: Literal[401, 404] = 401

    # the ticket
    ticket_seconds: int = 300
    ticket_kind: Literal["jwt", "opaque"] = "jwt"
    ticket_claims: dict[str, Any] = field(default_factory=dict)
    call_in_shape: CallInShape = "normal"
    catalog_shape: Literal["array", "plants", "value"] = "array"

    def change(self, **values: Any) -> None:
        """Set several options by name. Raises: AttributeError for one that does not exist."""
        for name, value in values.items():
            getattr(self, name)
            setattr(self, name, value)
