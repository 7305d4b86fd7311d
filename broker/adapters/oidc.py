"""Generic OpenID Connect: Authlib makes the authorization request and the token requests.

The partner gateway is the same with other defaults (`partner.py`). The one invariant: a refresh is one request.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.adapters import authorization
from broker.adapters.token_request import TokenSession, basic_authorization, exchange
from broker.core.secret import Secret
from broker.core.tokens import PendingLogin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.adapters.metadata import Metadata
    from broker.adapters.transport import BlockingHttp
    from broker.config import AccountConfig
    from broker.core.tokens import TokenSet


@dataclass(frozen=True, slots=True)
class Habits:
    """What a kind of provider wants where the configuration is silent; `client_auth` None: as discovery says."""

    pkce: bool
    nonce: bool
    scopes: bool
    send_redirect_uri_to_token: bool
    client_auth: str | None


OIDC_HABITS = Habits(pkce=True, nonce=True, scopes=True, send_redirect_uri_to_token=True, client_auth=None)


class OidcProvider:
    """The IdentityProvider port. Blocking; one call at a time."""

    def __init__(
        self, account: AccountConfig, http: BlockingHttp, metadata: Metadata, habits: Habits = OIDC_HABITS
    ) -> None:
        oauth = account.oauth
        self._account = account
        self._http = http
        self._metadata = metadata
        self._habits = habits
        self._pkce = habits.pkce if oauth.pkce is None else oauth.pkce
        self._nonce = habits.nonce if oauth.nonce is None else oauth.nonce
        sends = oauth.send_redirect_uri_to_token
        self._sends_redirect_uri = habits.send_redirect_uri_to_token if sends is None else sends

    def begin(self, redirect_uri: str) -> PendingLogin:
        """Make an authorization request. Raises: UpstreamError."""
        nonce = secrets.token_urlsafe(24) if self._nonce else None
        verifier = secrets.token_urlsafe(48) if self._pkce else None  # RFC 7636 section 4.1: 43 to 128 characters
        client = self._client(None)
        url, state = client.create_authorization_url(
            self._metadata.authorization_endpoint(),
            state=secrets.token_urlsafe(24),
            code_verifier=verifier,
            redirect_uri=redirect_uri,
            scope=" ".join(self._account.scopes) if self._habits.scopes else None,
            nonce=nonce,
            prompt=self._account.prompt,
        )
        return PendingLogin(
            authorization_url=authorization.with_parameters(url, self._account.oauth.authorize_params),
            redirect_uri=redirect_uri,
            state=Secret(state),
            nonce=None if nonce is None else Secret(nonce),
            code_verifier=None if verifier is None else Secret(verifier),
        )

    def redeem(self, pending: PendingLogin, response: Mapping[str, str]) -> TokenSet:
        """Exchange the code. Raises: LoginRejected, UpstreamError."""
        fields = {"code": authorization.code_of(response)}
        if self._sends_redirect_uri:
            fields["redirect_uri"] = pending.redirect_uri
        if pending.code_verifier is not None:
            fields["code_verifier"] = pending.code_verifier.reveal()
        url, session = self._metadata.token_endpoint(), self._session()
        client = self._client(session)
        return authorization.redeemed(
            lambda: exchange(session, lambda: client.fetch_token(url, grant_type="authorization_code", **fields))
        )

    def refresh(self, refresh_token: Secret) -> TokenSet:
        """One refresh. Raises: GrantRejected, UpstreamError."""
        url, session = self._metadata.token_endpoint(), self._session()
        client = self._client(session)
        return exchange(session, lambda: client.refresh_token(url, refresh_token=refresh_token.reveal()))

    def _session(self) -> TokenSession:
        return TokenSession(self._http, token_params=self._account.oauth.token_params)

    def _client(self, session: TokenSession | None) -> Any:
        from authlib.oauth2.client import OAuth2Client

        secret = self._account.client_secret
        client = OAuth2Client(
            session,
            client_id=self._account.client_id,
            client_secret=secret.value.reveal() if secret else None,
            token_endpoint_auth_method=self._auth_method() if secret and session else "none",
            code_challenge_method="S256",
        )
        client.register_client_auth_method(("client_secret_basic", _authenticate_basic))
        return client

    def _auth_method(self) -> str:
        wanted = self._account.oauth.client_auth or self._habits.client_auth
        if wanted is None:
            offered = self._metadata.endpoints().client_auth_methods
            # Basic is what a document means that names none (OpenID Connect Discovery section 3).
            wanted = "post" if "client_secret_post" in offered else "basic"
        return f"client_secret_{wanted}"


def _authenticate_basic(
    client: Any, _method: str, uri: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    """HTTP Basic as RFC 6749 has it; Authlib's own leaves out the form-encoding."""
    headers["Authorization"] = basic_authorization(client.client_id, client.client_secret)
    return uri, headers, body
