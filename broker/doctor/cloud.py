"""What an account's provider says about itself: metadata and signing keys.

Knows no token and sends no secret. The one invariant: nothing is asked that counts against a quota.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broker.adapters.id_token_keys import SigningKeys
from broker.adapters.metadata import Metadata, discovery_url
from broker.adapters.transport import BlockingHttp, Network
from broker.core.words import counted
from broker.doctor.finding import Finding, doubtful, failed, fine
from broker.doctor.network import Host
from broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.config import AccountConfig, Config
    from broker.ports import Clock


def hosts_of(config: Config) -> list[Host]:
    """Every host that the accounts need, once each."""
    found: dict[tuple[str, int], Host] = {}
    for account in config.accounts.values():
        urls = [
            (discovery_url(account), "the login"),
            (account.oauth.token_endpoint, "tokens"),
            (account.api.base_url, "the API"),
        ]
        for url, what in urls:
            if url:
                host = Host(url, what, account.ca_file, asked=url if what == "the login" else None)
                found.setdefault((host.name, host.port), host)
    return list(found.values())


def look_at_provider(account: AccountConfig, clock: Clock, environ: Mapping[str, str]) -> list[Finding]:
    """Metadata, keys, and whether they fit the configuration."""
    try:
        http = BlockingHttp(Network(clock, ca_file=account.ca_file, environ=environ))
        metadata = Metadata(account, http, clock)
        endpoints = metadata.endpoints()
    except BrokerError as error:
        return [failed("metadata", error, f"check authority and client_id of account {account.name}")]
    told = urlsplit(endpoints.token).hostname
    findings = [
        fine("metadata", f"account {account.name}: tokens come from {told}, issuer {endpoints.issuer or 'untold'}")
    ]
    if account.oauth.client_auth and endpoints.client_auth_methods:
        wanted = f"client_secret_{account.oauth.client_auth}"
        if wanted not in endpoints.client_auth_methods:
            remedy = "leave client_auth out, unless you know better"
            findings.append(
                doubtful("metadata", f"account {account.name}: the provider does not name {wanted}", remedy)
            )
    try:
        count = len(SigningKeys(metadata, http, clock).candidates(None))
    except BrokerError as error:
        return [*findings, failed("keys", error, "set jwks_uri if the provider tells it wrongly")]
    return [*findings, fine("keys", f"account {account.name}: {counted(count, 'signing key')}")]
