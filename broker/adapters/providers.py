"""Builds what one account needs of the cloud, out of its configuration.

Knows every provider kind; nobody else does. The one invariant: the parts of one account share its trust anchors,
its proxies and its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.adapters.issuer import CallInIssuer
from broker.adapters.metadata import Metadata
from broker.adapters.transport import BlockingHttp, Network, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.adapters.catalogue import ServiceCatalogue
    from broker.config import AccountConfig
    from broker.core.secret import Secret
    from broker.core.tokens import IdClaims
    from broker.ports import Clock, IdentityProvider, IdTokenVerifier


def make_provider(
    account: AccountConfig, clock: Clock, *, environ: Mapping[str, str] | None = None
) -> tuple[IdentityProvider, IdTokenVerifier]:
    """The account's way to log in, and its id-token verifier; `environ` names the proxies (None: the process's own).

    Raises: ConfigError for an unusable ca_file.
    """
    http = BlockingHttp(Network(clock, ca_file=account.ca_file, environ=environ))
    metadata = Metadata(account, http, clock)
    return _provider(account, http, metadata), LateVerifier(account, http, metadata, clock)


def make_issuer(account: AccountConfig, clock: Clock, *, environ: Mapping[str, str] | None = None) -> CallInIssuer:
    """The account's call-in operation; its `close()` belongs to the loop. Raises: ConfigError."""
    return CallInIssuer(account.api, Transport(Network(clock, ca_file=account.ca_file, environ=environ)))


def make_catalogue(
    account: AccountConfig, clock: Clock, *, environ: Mapping[str, str] | None = None
) -> ServiceCatalogue:
    """The account's service catalogue; its `close()` belongs to the loop. Raises: ConfigError."""
    from broker.adapters.catalogue import ServiceCatalogue

    return ServiceCatalogue(account.api, Transport(Network(clock, ca_file=account.ca_file, environ=environ)))


def _provider(account: AccountConfig, http: BlockingHttp, metadata: Metadata) -> IdentityProvider:
    match account.provider:
        case "b2c":
            from broker.adapters.b2c import B2cProvider

            return B2cProvider(account, http, metadata)
        case "partner":
            from broker.adapters.partner import PartnerProvider

            return PartnerProvider(account, http, metadata)
        case "oidc":
            from broker.adapters.oidc import OidcProvider

            return OidcProvider(account, http, metadata)


class LateVerifier:
    """The IdTokenVerifier port: joserfc, which takes 0.1 s, is loaded when the first id token is to come."""

    def __init__(self, account: AccountConfig, http: BlockingHttp, metadata: Metadata, clock: Clock) -> None:
        self._account = account
        self._http = http
        self._metadata = metadata
        self._clock = clock
        self._made: IdTokenVerifier | None = None

    def prepare(self) -> None:
        """Read metadata and keys when they are missing or a day old. Raises: UpstreamError."""
        self._verifier().prepare()

    def verify(self, id_token: Secret, *, nonce: Secret | None, server_seconds: float | None) -> IdClaims:
        """Check everything. Raises: InvalidResponse, UpstreamError."""
        return self._verifier().verify(id_token, nonce=nonce, server_seconds=server_seconds)

    def _verifier(self) -> IdTokenVerifier:
        if self._made is None:
            from broker.adapters.id_token import IdTokens
            from broker.adapters.id_token_keys import SigningKeys

            keys = SigningKeys(self._metadata, self._http, self._clock)
            self._made = IdTokens(self._account, self._metadata, keys, self._clock)
        return self._made
