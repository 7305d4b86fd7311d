"""The provider's signing keys (RFC 7517): read daily and for an unknown kid, never more often than once a minute.

Knows no token. The one invariant: keys that were good stay while newer ones cannot be had; one broken key costs
only itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from broker.adapters.metadata import Daily
from broker.adapters.transport import HttpRequest
from broker.errors import InvalidResponse, UpstreamError

if TYPE_CHECKING:
    from broker.adapters.metadata import Metadata
    from broker.adapters.transport import BlockingHttp
    from broker.ports import Clock

SERVICE = "signing keys"
TIMEOUT_SECONDS = 15.0


class SigningKeys:
    """One account's keys. Blocking; may be called from several threads."""

    def __init__(self, metadata: Metadata, http: BlockingHttp, clock: Clock) -> None:
        self._metadata = metadata
        self._http = http
        self._daily = Daily(clock)
        self._lock = threading.Lock()
        self._keys: list[RSAKey] = []

    def refresh(self) -> None:
        """Read the keys when they are missing or a day old. Raises: UpstreamError when there are none at all."""
        with self._lock:
            if not self._keys or self._daily.is_due():
                self._reread()

    def candidates(self, kid: str | None) -> list[RSAKey]:
        """The keys that may have signed: the one of that id, all where no id is given. Raises: UpstreamError."""
        self.refresh()
        with self._lock:
            found = self._matching(kid)
            if not found and self._daily.may_try():
                self._reread()
                found = self._matching(kid)
            return found

    def _matching(self, kid: str | None) -> list[RSAKey]:
        return [key for key in self._keys if kid is None or key.kid == kid]

    def _reread(self) -> None:
        self._daily.tried()
        try:
            self._keys = self._read()
        except UpstreamError:
            if not self._keys:
                raise
        else:
            self._daily.succeeded()

    def _read(self) -> list[RSAKey]:
        url, headers = self._metadata.endpoints().jwks_uri, {"Accept": "application/json"}
        answer = self._http.request(HttpRequest("GET", url, SERVICE, headers, timeout_seconds=TIMEOUT_SECONDS))
        document = answer.json_object() if answer.is_success else None
        entries = document.get("keys") if document else None
        keys = [key for key in map(_imported, entries if isinstance(entries, list) else []) if key is not None]
        if not keys:
            raise InvalidResponse(
                f"{SERVICE} came with {answer.status} and no usable RSA key",
                service=SERVICE,
                status=answer.status,
                retry_after_seconds=answer.retry_after_seconds(),
            )
        return keys


def _imported(entry: object) -> RSAKey | None:
    """An RSA key for signatures; None for any other, and for one that is broken."""
    if not isinstance(entry, dict) or entry.get("kty") != "RSA":
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    try:
        key = RSAKey.import_key({name: entry[name] for name in ("kty", "n", "e", "kid") if name in entry})
        key.public_key  # noqa: B018  the number itself is parsed only now
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key
