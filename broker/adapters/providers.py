"""Builds what one account needs of the cloud, out of its configuration.

Knows every provider kind; nobody else does. The one invariant: the parts of one account share its trust anchors,
its proxies and its metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.adapters.catalogue import ServiceCatalogue
from broker.adapters.id_token import IdTokens
from broker.adapters.id_token_keys import SigningKeys
from broker.adapters.issuer import CallInIssuer
from broker.adapters.metadata import Metadata
from broker.adapters.transport import BlockingHttp, Network, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.config import AccountConfig
    from broker.ports import Clock, IdentityProvider, IdTokenVerifier


def make_provider(
    account: AccountConfig, clock: Clock, *, environ: Mapping[str, str] | None = None
) -> tuple[IdentityProvider, IdTokenVerifier]:
    """The account's way to log in, and its id-token verifier; `environ` names the proxies (None: the process's own).

    Raises: ConfigError for an unusable ca_file.
    """
    http = BlockingHttp(Network(clock, ca_file=account.ca_file, environ=environ))
    metadata = Metadata(account, http, clock)
    verifier = IdTokens(account, metadata, SigningKeys(metadata, http, clock), clock)
    return _provider(account, http, metadata), verifier


def make_issuer(account: AccountConfig, clock: Clock, *, environ: Mapping[str, str] | None = None) -> CallInIssuer:
    """The account's call-in operation; its `close()` belongs to the loop. Raises: ConfigError."""
    return CallInIssuer(account.api, Transport(Network(clock, ca_file=account.ca_file, environ=environ)))


def make_catalogue(
    account: AccountConfig, clock: Clock, *, environ: Mapping[str, str] | None = None
) -> ServiceCatalogue:
    """The account's service catalogue; its `close()` belongs to the loop. Raises: ConfigError."""
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
