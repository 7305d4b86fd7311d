"""The configuration as frozen dataclasses: every key of broker.toml, its unit and its default.

Knows no TOML and no file; `file` reads and checks. The one invariant: a Config that exists is valid.
Field names are the keys of broker.toml, with the unit added (`timeout` -> `timeout_seconds`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.core.secret import Secret

ProviderKind = Literal["partner", "b2c", "oidc"]
Warm = Literal["always", "on-demand", "adaptive"]

PARTNER_AUTHORITY = "https://partners-login.eliotbylegrand.com"
REDIRECT_URI = "http://localhost:8400/callback"
API_BASE_URL = "https://api.developer.legrand.com/vdeproducts/v1.0"
CALL_IN_PATH = (
    "audiovideounit/videodoorentry/addressLocation/plants/{plant_id}/modules/parameter/id/value/{device_id}/callIn"
)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A secret and where it came from; `name` is what stands behind the colon of "credential:", "file:" or "env:"."""

    source: Literal["credential", "file", "env"]
    name: str
    value: Secret


@dataclass(frozen=True, slots=True)
class SocketConfig:
    """[socket]."""

    path: Path
    mode: int = 0o660
    group: str | None = None


@dataclass(frozen=True, slots=True)
class StateConfig:
    """[state]; `key` None: a key file made at first start."""

    directory: Path
    key: SecretReference | None = None


@dataclass(frozen=True, slots=True)
class OAuthConfig:
    """[accounts.NAME.oauth]; None: what discovery or the provider's kind tells."""

    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    jwks_uri: str | None = None
    issuer: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    pkce: bool | None = None
    nonce: bool | None = None
    send_redirect_uri_to_token: bool | None = None
    client_auth: Literal["post", "basic"] | None = None
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    token_params: Mapping[str, str] = field(default_factory=dict)
    leeway_seconds: float = 300.0
    refresh_token_lifetime_seconds: float | None = None
    sliding_window_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """[accounts.NAME.api]; `quota_reset` is "rolling" or "HH:MM Area/City", `daily_quota` 0 means none.

    `base_url` has no slash at its end and `path` none at its start; `ticket_pointer` is RFC 6901.
    """

    subscription_key: SecretReference
    base_url: str = API_BASE_URL
    token: Literal["id_token", "access_token"] = "id_token"
    scheme: Literal["", "Bearer"] = ""
    daily_quota: int = 500
    quota_reset: str = "rolling"
    quota_reserve: int = 50
    connect_timeout_seconds: float = 5.0
    timeout_seconds: float = 15.0
    path: str = CALL_IN_PATH
    ticket_pointer: str | None = None


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """[accounts.NAME]."""

    name: str
    provider: ProviderKind
    authority: str
    client_id: str
    api: ApiConfig
    redirect_uri: str = REDIRECT_URI
    client_secret: SecretReference | None = None
    scopes: tuple[str, ...] = ("openid", "offline_access")
    prompt: str | None = None
    ca_file: Path | None = None
    allow_id_token: tuple[str, ...] = ()
    oauth: OAuthConfig = field(default_factory=OAuthConfig)


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """`publish` of a ticket; `{ticket}` stands once in `format`, every other brace for itself."""

    path: Path
    mode: int = 0o640
    group: str | None = None
    format: str = "{ticket}"


@dataclass(frozen=True, slots=True)
class TicketConfig:
    """[tickets.NAME]; `allow` None: whoever may open the socket."""

    name: str
    account: str
    plant_id: str
    device_id: str
    warm: Warm = "always"
    single_use: bool = False
    pool: int = 1
    min_validity_seconds: float = 30.0
    assumed_lifetime_seconds: float = 300.0
    allow: tuple[str, ...] | None = None
    publish: PublishConfig | None = None


@dataclass(frozen=True, slots=True)
class LoginConfig:
    """[login]; `listen` is "HOST:PORT", "" means paste only."""

    listen: str = "127.0.0.1:8400"


@dataclass(frozen=True, slots=True)
class HooksConfig:
    """[hooks]."""

    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """[metrics]; `listen` is "HOST:PORT" for GET /metrics over TCP, "" means on the Unix socket only."""

    listen: str = ""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


@dataclass(frozen=True, slots=True)
class Config:
    """All of broker.toml, checked; `file` is where it was read."""

    file: Path
    socket: SocketConfig
    state: StateConfig
    admins: tuple[str, ...] = ("user:root",)
    accounts: Mapping[str, AccountConfig] = field(default_factory=dict)
    tickets: Mapping[str, TicketConfig] = field(default_factory=dict)
    login: LoginConfig = field(default_factory=LoginConfig)
    hooks: HooksConfig = field(default_factory=HooksConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)


def secret_references(config: Config) -> list[SecretReference]:
    """Every secret that the configuration names."""
    found = [config.state.key]
    for account in config.accounts.values():
        found += [account.client_secret, account.api.subscription_key]
    return [reference for reference in found if reference is not None]
