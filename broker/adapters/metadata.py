"""Where an account's endpoints are: its provider's discovery document, kept for a day, and what the configuration says.

Knows no token. The one invariant: an endpoint that leaves here is https, or http on loopback; a document that cannot
be read again does not replace the one that could.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from broker.adapters.transport import HttpRequest
from broker.config.addresses import is_loopback
from broker.errors import InvalidResponse, UpstreamError, UpstreamRejected

if TYPE_CHECKING:
    from broker.adapters.transport import BlockingHttp
    from broker.config import AccountConfig
    from broker.ports import Clock

SERVICE = "metadata"
DAY_SECONDS = 86_400.0
REREAD_SECONDS = 60.0
"""Never read again more often than this, whatever the reason."""
TIMEOUT_SECONDS = 15.0
DISCOVERY = ".well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the discovery document and the configuration say together (OpenID Connect Discovery section 3).

    `issuer` "" where neither tells one; `client_auth_methods` empty where the document names none.
    """

    authorization: str
    token: str
    jwks_uri: str
    issuer: str
    client_auth_methods: tuple[str, ...] = ()


class Daily:
    """When a document is read: a day after the last time it could be, at most once a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at: float | None = None
        self._tried_at: float | None = None

    def is_due(self) -> bool:
        """Whether it was never read, or a day has passed since; boot clock, so a wrong wall clock does no harm."""
        now = self._clock.read().boot_seconds
        return (self._read_at is None or now - self._read_at >= DAY_SECONDS) and self.may_try()

    def may_try(self) -> bool:
        """Whether a minute has passed since the last attempt."""
        return self._tried_at is None or self._clock.read().boot_seconds - self._tried_at >= REREAD_SECONDS

    def tried(self) -> None:
        """An attempt begins."""
        self._tried_at = self._clock.read().boot_seconds

    def succeeded(self) -> None:
        """The attempt brought a document."""
        self._read_at = self._tried_at


class Metadata:
    """One account's endpoints. Blocking; may be called from several threads."""

    def __init__(self, account: AccountConfig, http: BlockingHttp, clock: Clock) -> None:
        self._account = account
        self._http = http
        self._daily = Daily(clock)
        self._lock = threading.Lock()
        self._known: Endpoints | None = None

    def endpoints(self) -> Endpoints:
        """The endpoints, read when they are missing or a day old. Raises: UpstreamError when there are none at all."""
        with self._lock:
            if self._known is not None and not self._daily.is_due():
                return self._known
            self._daily.tried()
            try:
                self._known = self._checked(self._read())
            except UpstreamError:
                if self._known is None:
                    raise
            else:
                self._daily.succeeded()
            return self._known

    def token_endpoint(self) -> str:
        """Where tokens are had; asks for no document where the configuration or the provider's kind tells it."""
        return self._fixed("token") or self.endpoints().token

    def authorization_endpoint(self) -> str:
        """Where a person logs in; likewise."""
        return self._fixed("authorization") or self.endpoints().authorization

    def _fixed(self, kind: str) -> str | None:
        oauth = self._account.oauth
        configured = oauth.token_endpoint if kind == "token" else oauth.authorization_endpoint
        if configured:
            return _usable(configured, f"{kind}_endpoint")
        if self._account.provider == "partner":
            return _usable(f"{self._account.authority.rstrip('/')}/{'token' if kind == 'token' else 'authorize'}", kind)
        return None

    def _read(self) -> dict[str, object]:
        """The document, or nothing at all where the configuration tells everything."""
        oauth = self._account.oauth
        if self._fixed("token") and self._fixed("authorization") and oauth.jwks_uri and oauth.issuer:
            return {}
        url = _usable(discovery_url(self._account), "authority")
        headers = {"Accept": "application/json"}
        answer = self._http.request(HttpRequest("GET", url, SERVICE, headers, timeout_seconds=TIMEOUT_SECONDS))
        document = answer.json_object() if answer.is_success else None
        if document is None:
            raise InvalidResponse(
                f"{SERVICE} answered {answer.status} with {'a web page' if answer.is_html else 'no JSON object'}",
                service=SERVICE,
                status=answer.status,
                retry_after_seconds=answer.retry_after_seconds(),
                hint=f"if it stays, check authority and client_id of account {self._account.name}",
            )
        return document

    def _checked(self, document: dict[str, object]) -> Endpoints:
        oauth = self._account.oauth
        issuer = document.get("issuer")
        methods = document.get("token_endpoint_auth_methods_supported")
        issuer = issuer if isinstance(issuer, str) else ""
        if self._account.provider == "oidc" and not oauth.issuer and issuer.rstrip("/") != self._authority_as_issuer():
            raise UpstreamRejected(
                f"{SERVICE} names another issuer than authority",
                service=SERVICE,
                hint="authority must be the provider's issuer to the letter; or set oauth.issuer",
            )
        return Endpoints(
            authorization=self._fixed("authorization") or _named(document, "authorization_endpoint"),
            token=self._fixed("token") or _named(document, "token_endpoint"),
            jwks_uri=_usable(oauth.jwks_uri, "jwks_uri") if oauth.jwks_uri else _named(document, "jwks_uri"),
            issuer=issuer,
            client_auth_methods=tuple(map(str, methods)) if isinstance(methods, list) else (),
        )

    def _authority_as_issuer(self) -> str:
        """Discovery 4.3: the document's issuer must be the one asked; a trailing slash is forgiven."""
        return self._account.authority.removesuffix(DISCOVERY).rstrip("/")


def discovery_url(account: AccountConfig) -> str:
    """Where the account's discovery document is, for each form of authority that facts or people know."""
    if account.provider == "partner":
        return f"{account.authority.rstrip('/')}/{quote(account.client_id, safe='')}/{DISCOVERY}"
    parts = urlsplit(account.authority)
    path = parts.path.removesuffix(DISCOVERY).rstrip("/")
    if account.provider == "b2c" and not path.endswith("/v2.0"):
        path += "/v2.0"  # …/TENANT/POLICY, …/tfp/TENANT/POLICY and …/TENANT?p=POLICY alike
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{DISCOVERY}", parts.query, ""))


def _named(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        hint = f"set oauth.{name} if the provider does not tell it"
        raise InvalidResponse(f"{SERVICE} names no {name}", service=SERVICE, hint=hint)
    return _usable(value, name)


def _usable(url: str, what: str) -> str:
    """The URL, if secrets may be sent there. Raises: UpstreamRejected."""
    try:
        parts = urlsplit(url)
        fine = (
            url.isprintable()
            and bool(parts.hostname)
            and (  # a person is shown one of them
                parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
            )
        )
    except ValueError:
        fine = False
    if not fine:
        raise UpstreamRejected(f"{what} is no https URL", service=SERVICE, hint="secrets go to https URLs only")
    return url
