"""Checks id tokens: joserfc does the signature (RS256 only), the claims are judged at the server's own time.

Knows no login. The one invariant: claims leave here only from a token whose signature, iss, aud, exp, nbf, iat and
(where given) nonce were right; a failure says which was not, and nothing of the token.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from broker.core.answer import unix_seconds
from broker.core.tokens import IdClaims
from broker.errors import InvalidResponse

if TYPE_CHECKING:
    from broker.adapters.id_token_keys import SigningKeys
    from broker.adapters.metadata import Metadata
    from broker.config import AccountConfig
    from broker.core.secret import Secret
    from broker.ports import Clock

SERVICE = "identity provider"
ALGORITHM = "RS256"
NOT_A_JWT = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)  # as joserfc says it, or JSON
LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
LONGEST_HEADER_BYTES = 8192
"""Some providers put a certificate chain (x5c) into the header; joserfc's own limit is 512."""


class IdTokens:
    """The IdTokenVerifier port. Blocking: it may read metadata and keys."""

    def __init__(self, account: AccountConfig, metadata: Metadata, keys: SigningKeys, clock: Clock) -> None:
        self._account = account
        self._metadata = metadata
        self._keys = keys
        self._clock = clock
        self._registry = JWSRegistry(algorithms=[ALGORITHM], strict_check_header=False)
        self._registry.max_header_length = LONGEST_HEADER_BYTES

    def prepare(self) -> None:
        """Read metadata and keys when they are missing or a day old. Raises: UpstreamError."""
        self._metadata.endpoints()
        self._keys.refresh()

    def verify(self, id_token: Secret, *, nonce: Secret | None, server_seconds: float | None) -> IdClaims:
        """Check everything. Raises: InvalidResponse, UpstreamError."""
        claims = self._signed_claims(id_token.reveal())
        self._check_claims(claims, int(self._time_told(claims) if server_seconds is None else server_seconds))
        if nonce is not None:
            given = claims.get("nonce")
            if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.reveal().encode()):
                raise _wrong("nonce is not the one of this login")
        subject = claims["sub"]
        if not isinstance(subject, str) or len(subject) > LONGEST_SUBJECT or not subject.isprintable():
            raise _wrong("sub is no name that can be shown")
        expires_at = unix_seconds(claims["exp"])
        if expires_at is None:
            raise _wrong("exp is no moment of this century")
        return IdClaims(
            issuer=claims["iss"],
            subject=subject,
            issued_at=unix_seconds(claims.get("iat")),
            expires_at=expires_at,
            display_name=display_name(claims),
        )

    def _time_told(self, claims: dict[str, Any]) -> float:
        """The signed `iat` of a token that has just come, as its life is counted; else the wall clock."""
        issued_at = unix_seconds(claims.get("iat"))
        return self._clock.read().wall_seconds if issued_at is None else float(issued_at)

    def _signed_claims(self, text: str) -> dict[str, Any]:
        try:
            header = jws.extract_compact(text.encode("ascii"), registry=self._registry).headers()
        except NOT_A_JWT as error:
            raise _wrong("it is no JWT") from error
        if header.get("alg") != ALGORITHM:
            raise _wrong(f"it is not signed with {ALGORITHM}")
        kid = header.get("kid")
        for key in self._keys.candidates(kid if isinstance(kid, str) else None):
            try:
                return jwt.decode(text, key, algorithms=[ALGORITHM], registry=self._registry).claims
            except NOT_A_JWT:  # another key's, or a payload that is no object
                continue
        raise _wrong("its signature fits none of the provider's keys")

    def _check_claims(self, claims: dict[str, Any], now: int) -> None:
        registry = JWTClaimsRegistry(
            now=now,
            leeway=int(self._account.oauth.leeway_seconds),
            iss={"essential": True, "values": list(self._issuers())},
            aud={"essential": True, "values": list(self._account.oauth.audience or (self._account.client_id,))},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            registry.validate(claims)
        except MissingClaimError as error:
            raise _wrong("a claim it must have is missing: " + ", ".join(_names(registry, claims))) from error
        except ExpiredTokenError as error:
            raise _wrong("it has expired already", hint=CLOCK_HINT) from error
        except InvalidClaimError as error:
            name = error.claim
            raise _wrong(f"{name} is not what it must be", hint=_HINTS.get(name)) from error

    def _issuers(self) -> tuple[str, ...]:
        """The configured issuers, else the metadata's."""
        if self._account.oauth.issuer:
            return self._account.oauth.issuer
        issuer = self._metadata.endpoints().issuer
        if not issuer:
            raise _wrong("nobody says which issuer is right", hint="set oauth.issuer of this account")
        return (issuer,)


CLOCK_HINT = "check this machine's clock; oauth.leeway is how much difference is forgiven"
_HINTS = {
    "iss": "if the provider is right, put its issuer into oauth.issuer",
    "aud": "the token was made for another application: check client_id, or set oauth.audience",
    "nbf": CLOCK_HINT,
    "iat": CLOCK_HINT,
}


def display_name(claims: dict[str, Any]) -> str | None:
    """What to call the person: the first of name, preferred_username, email, emails[0] that is printable text."""
    emails = claims.get("emails")
    first_email = emails[0] if isinstance(emails, list) and emails else None
    for value in (claims.get("name"), claims.get("preferred_username"), claims.get("email"), first_email):
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value.strip()[:100]
    return None


def _names(registry: JWTClaimsRegistry, claims: dict[str, Any]) -> list[str]:
    return sorted(name for name in registry.essential_keys if claims.get(name) is None)


def _wrong(what: str, *, hint: str | None = None) -> InvalidResponse:
    return InvalidResponse(f"the id token cannot be accepted: {what}", service=SERVICE, hint=hint)
