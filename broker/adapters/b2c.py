"""Azure AD B2C: MSAL makes the authorization request and the token requests.

MSAL is built anew for each call, on metadata that we read ourselves: a longer life would let it keep tokens, and replay
an old 400 or 429 without a request. The one invariant: a refresh is one request, to the token endpoint.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from broker.adapters import authorization
from broker.adapters.token_request import SERVICE, TokenSession, exchange
from broker.core.secret import Secret
from broker.core.tokens import PendingLogin
from broker.errors import UpstreamRejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.adapters.metadata import Metadata
    from broker.adapters.transport import BlockingHttp
    from broker.config import AccountConfig
    from broker.core.tokens import TokenSet

RESERVED_SCOPES = ("openid", "profile", "offline_access")
"""MSAL adds these itself and refuses to be given them."""


class B2cProvider:
    """The IdentityProvider port. Blocking; one call at a time."""

    def __init__(self, account: AccountConfig, http: BlockingHttp, metadata: Metadata) -> None:
        self._account = account
        self._http = http
        self._metadata = metadata
        self._pkce = account.oauth.pkce is not False
        self._nonce = account.oauth.nonce is not False

    def begin(self, redirect_uri: str) -> PendingLogin:
        """Make an authorization request with PKCE and nonce. Raises: UpstreamError."""
        app = self._application(self._session())
        with warnings.catch_warnings():  # it recommends form_post, which a redirect to a GET listener cannot be
            warnings.simplefilter("ignore")
            flow = app.initiate_auth_code_flow(self._scopes(), redirect_uri=redirect_uri, prompt=self._account.prompt)
        dropped = [] if self._pkce else ["code_challenge", "code_challenge_method"]
        dropped += [] if self._nonce else ["nonce"]
        url = authorization.with_parameters(
            flow["auth_uri"], self._account.oauth.authorize_params, without=frozenset(dropped)
        )
        wire_nonce = hashlib.sha256(flow["nonce"].encode()).hexdigest()  # what MSAL puts into the URL
        return PendingLogin(
            authorization_url=url,
            redirect_uri=redirect_uri,
            state=Secret(flow["state"]),
            nonce=Secret(wire_nonce) if self._nonce else None,
            code_verifier=Secret(flow["code_verifier"]) if self._pkce else None,
            flow={"nonce": Secret(flow["nonce"])},
        )

    def redeem(self, pending: PendingLogin, response: Mapping[str, str]) -> TokenSet:
        """Exchange the code. Raises: LoginRejected, UpstreamError."""
        code, state = authorization.code_of(response), pending.state.reveal()
        nonce = pending.flow.get("nonce")
        sends_redirect_uri = self._account.oauth.send_redirect_uri_to_token is not False
        flow = {
            "state": state,
            "redirect_uri": pending.redirect_uri if sends_redirect_uri else None,
            "scope": list(self._wire_scopes()),
            "nonce": nonce.reveal() if isinstance(nonce, Secret) else "",
            "code_verifier": pending.code_verifier.reveal() if pending.code_verifier else None,
        }
        session = self._session()
        app = self._application(session)
        return authorization.redeemed(
            lambda: exchange(session, lambda: app.acquire_token_by_auth_code_flow(flow, {"code": code, "state": state}))
        )

    def refresh(self, refresh_token: Secret) -> TokenSet:
        """One refresh. Raises: GrantRejected, UpstreamError."""
        session = self._session()
        app = self._application(session)
        return exchange(
            session, lambda: app.acquire_token_by_refresh_token(refresh_token.reveal(), scopes=self._scopes())
        )

    def _session(self) -> TokenSession:
        endpoints = self._metadata.endpoints()
        document = {
            "authorization_endpoint": endpoints.authorization,
            "token_endpoint": endpoints.token,
            "issuer": endpoints.issuer,
        }
        secret = self._account.client_secret
        basic = (self._account.client_id, secret.value) if secret and self._is_basic() else None
        token_params = self._account.oauth.token_params
        return TokenSession(self._http, token_params=token_params, basic=basic, metadata=document)

    def _application(self, session: TokenSession) -> Any:
        """An MSAL application that talks through `session` only. Raises: UpstreamRejected."""
        import msal

        common = {
            "client_id": self._account.client_id,
            "authority": _plain_authority(self._account.authority),
            "instance_discovery": False,
            "http_client": session,
            "exclude_scopes": [name for name in RESERVED_SCOPES[1:] if name not in self._account.scopes],
            "azure_region": False,  # or MSAL_FORCE_REGION in the environment would move the token endpoint
        }
        secret = self._account.client_secret
        try:
            if secret is None or self._is_basic():
                return msal.ClientApplication(**common)
            return msal.ConfidentialClientApplication(client_credential=secret.value.reveal(), **common)
        except ValueError as error:
            raise UpstreamRejected(
                f"{SERVICE} cannot be used: MSAL takes https endpoints with a path only",
                service=SERVICE,
                hint="check authority and the endpoints of this account",
            ) from error

    def _is_basic(self) -> bool:
        return self._account.oauth.client_auth == "basic"

    def _scopes(self) -> list[str]:
        return [name for name in self._account.scopes if name not in RESERVED_SCOPES]

    def _wire_scopes(self) -> set[str]:
        return {*self._account.scopes, "openid"}


def _plain_authority(url: str) -> str:
    """What MSAL checks the shape of; it never asks it for anything (see TokenSession.get)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
