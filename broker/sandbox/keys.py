"""The keys that the sandbox's cloud signs id tokens with, their publication (JWKS, RFC 7517) and their rotation.

Knows no HTTP. RSA keys cost about 100 ms: they are made once a process and shared by every cloud in it.
The one invariant: `sign` uses the newest published key unless told to use one that nobody publishes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey, RSAKey

_UNPUBLISHED = 1_000_000


@lru_cache(maxsize=64)
def _rsa_key(serial: int) -> RSAKey:
    """The process's RSA 2048 key of this number."""
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"})
    return RSAKey.import_key({**key.as_dict(private=True), "use": "sig", "alg": "RS256", "kid": f"sandbox-{serial}"})


class SigningKeys:
    """The published keys, newest first."""

    def __init__(self) -> None:
        self._serials = [0]

    @property
    def kid(self) -> str:
        """The key id of the key that signs now."""
        return str(_rsa_key(self._serials[0]).kid)

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on; the old ones stay published or vanish."""
        newest = self._serials[0] + 1
        self._serials = [newest, *self._serials] if keep_old else [newest]

    def published(self) -> dict[str, Any]:
        """The JWKS document."""
        return {"keys": [_rsa_key(serial).as_dict(private=False) for serial in self._serials]}

    def sign(self, claims: dict[str, Any], *, unpublished: bool = False) -> str:
        """A compact RS256 JWT of `claims`."""
        key = _rsa_key(_UNPUBLISHED if unpublished else self._serials[0])
        return jwt.encode({"typ": "JWT", "alg": "RS256", "kid": str(key.kid)}, claims, key)

    def verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a JWT signed with a published key; None for anything else. Looks at no claim."""
        keys = KeySet([_rsa_key(serial) for serial in self._serials])
        try:
            return dict(jwt.decode(token, keys, algorithms=["RS256"]).claims)
        except (JoseError, ValueError):
            return None


def sign_with_secret(claims: dict[str, Any], secret: str) -> str:
    """A compact HS256 JWT of `claims`; `secret` is of at least 32 characters."""
    return jwt.encode({"typ": "JWT", "alg": "HS256"}, claims, OctKey.import_key(secret))
