"""What the identity provider gives and what we read in it: token sets, id-token claims, pending logins.

Knows no protocol library. The one invariant: everything that could be replayed is a Secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.core.secret import Secret


@dataclass(frozen=True, slots=True)
class TokenSet:
    """One answer of the token endpoint, unknown fields dropped (RFC 6749 section 5.1).

    Every field but one may be missing; lifetimes are seconds from the answer; `server_seconds` is the answer's
    Date (plus Age) as Unix time. A missing `refresh_token` means: keep the present one (section 6).
    """

    id_token: Secret | None
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    access_token_seconds: float | None = None
    refresh_token_seconds: float | None = None
    server_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class IdClaims:
    """The verified claims of an id token (OpenID Connect Core section 2); times are Unix seconds."""

    issuer: str
    subject: str
    issued_at: int | None
    expires_at: int
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """An authorization request that a person is answering now.

    `state` ties the redirect to it; `nonce` (None where the provider cannot repeat ours) and `code_verifier` bind
    the code. `flow` is what the provider's adapter needs to finish; nobody else looks into it.
    """

    authorization_url: str = field(repr=False)  # it carries state and nonce
    redirect_uri: str
    state: Secret
    nonce: Secret | None = None
    code_verifier: Secret | None = None
    flow: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def binds_code(self) -> bool:
        """Whether a bare code, pasted without its state, is still tied to this login (PKCE or a nonce)."""
        return self.nonce is not None or self.code_verifier is not None
