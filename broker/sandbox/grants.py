"""What the cloud's sign-in remembers: authorization codes, refresh tokens, and the login each of them belongs to.

Knows no HTTP and no JWT. The one invariant: a code is redeemed once; under rotation "strict" so is a refresh token, and
whoever comes with a used one ends the whole login (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from broker.sandbox.oauth_errors import OAuthRefused

if TYPE_CHECKING:
    from broker.sandbox.options import Options


@dataclass(slots=True, eq=False)
class Login:
    """One sign-in of a person with an application: the family of its refresh tokens."""

    client_id: str
    user: str
    kind: str
    policy: str
    scope: tuple[str, ...]
    nonce: str | None
    created_at: float
    redirect_uri: str
    code_challenge: str | None = None
    revoked: bool = False


@dataclass(slots=True)
class _Code:
    login: Login
    expires_at: float
    used: bool = False


@dataclass(slots=True)
class _RefreshToken:
    login: Login
    expires_at: float
    used: bool = False


@dataclass(slots=True)
class Grants:
    """All codes and refresh tokens; times are the cloud's own Unix seconds."""

    options: Options
    _codes: dict[str, _Code] = field(default_factory=dict)
    _refresh_tokens: dict[str, _RefreshToken] = field(default_factory=dict)

    def issue_code(self, login: Login) -> str:
        """A new authorization code."""
        code = secrets.token_urlsafe(48)
        self._codes[code] = _Code(login, login.created_at + self.options.code_seconds)
        return code

    def redeem(
        self, code: str, *, client_id: str, policy: str, redirect_uri: str | None, verifier: str | None, now: float
    ) -> Login:
        """The login that `code` stands for. Raises: OAuthRefused."""
        known = self._codes.get(code)
        if known is None:
            raise OAuthRefused("90088")
        if known.used or known.expires_at <= now:
            raise OAuthRefused("90080")
        self._check_owner(known.login, client_id, policy)
        self._check_redirect_uri(known.login, redirect_uri)
        if known.login.code_challenge is not None and _challenge(verifier or "") != known.login.code_challenge:
            raise OAuthRefused("90183")
        known.used = True
        return known.login

    def refresh(self, token: str, *, client_id: str, policy: str, now: float) -> Login:
        """The login that `token` stands for. Raises: OAuthRefused."""
        known = self._refresh_tokens.get(token)
        if known is None:
            raise OAuthRefused("90088")
        self._check_owner(known.login, client_id, policy)
        if known.used and self.options.rotation == "strict":
            known.login.revoked = True
        if known.login.revoked:
            raise OAuthRefused("90129")
        if known.expires_at <= now:
            raise OAuthRefused("90080")
        if not self.options.people[known.login.user].exists:
            raise OAuthRefused("90128")
        known.used = True
        return known.login

    def issue_refresh_token(self, login: Login, now: float) -> tuple[str, int]:
        """A new refresh token and its seconds to live."""
        window_ends = login.created_at + self.options.sliding_window_seconds
        expires_at = min(now + self.options.refresh_token_seconds, window_ends)
        token = secrets.token_urlsafe(96)
        self._refresh_tokens[token] = _RefreshToken(login, expires_at)
        return token, int(expires_at - now)

    def revoke(self, user: str | None = None) -> None:
        """End every login, or those of one person: AADB2C90129."""
        for token in self._refresh_tokens.values():
            if user in (None, token.login.user):
                token.login.revoked = True

    def expire(self) -> None:
        """Let every refresh token and code that was given out be past its life: AADB2C90080."""
        for token, known in self._refresh_tokens.items():
            self._refresh_tokens[token] = replace(known, expires_at=0.0)
        for code, issued in self._codes.items():
            self._codes[code] = replace(issued, expires_at=0.0)

    @staticmethod
    def _check_owner(login: Login, client_id: str, policy: str) -> None:
        if (login.client_id, login.policy.lower()) != (client_id, policy.lower()):
            raise OAuthRefused("90088", client_id=client_id)

    @staticmethod
    def _check_redirect_uri(login: Login, redirect_uri: str | None) -> None:
        """Clients of the gateway send none here; the plain provider keeps to RFC 6749 section 4.1.3."""
        if redirect_uri is None and login.kind != "oidc":
            return
        if redirect_uri != login.redirect_uri:
            raise OAuthRefused("90088" if login.kind == "oidc" else "90006", redirect_uri=redirect_uri or "")


def _challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
