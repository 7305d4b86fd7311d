"""The ELIOT partner gateway: no PKCE, scope or nonce, the client secret in the form, no redirect_uri to /token.

Its endpoints are fixed; only its keys and issuer come from discovery. The one invariant: what it does otherwise than
generic OpenID Connect is in `PARTNER_HABITS`, and each habit can be overridden in [accounts.NAME.oauth].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.adapters.oidc import Habits, OidcProvider

if TYPE_CHECKING:
    from broker.adapters.metadata import Metadata
    from broker.adapters.transport import BlockingHttp
    from broker.config import AccountConfig

PARTNER_HABITS = Habits(pkce=False, nonce=False, scopes=False, send_redirect_uri_to_token=False, client_auth="post")


class PartnerProvider(OidcProvider):
    """The IdentityProvider port for the gateway. Blocking; one call at a time."""

    def __init__(self, account: AccountConfig, http: BlockingHttp, metadata: Metadata) -> None:
        super().__init__(account, http, metadata, PARTNER_HABITS)
