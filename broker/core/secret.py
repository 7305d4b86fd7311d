"""Secret: a string that cannot be printed by accident.

It shows as `<secret a1b2c3d4>` (the start of its SHA-256) in repr, str, format and pickle; json refuses it.
The one invariant: `.reveal()` is the only way out, so a search for it finds every use.
"""

from __future__ import annotations

import hashlib
import hmac


class Secret:
    """A value that must not leave the process but where it is meant to."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends or stores it."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """The first 8 hex digits of the SHA-256: enough to tell two secrets apart in a log."""
        return self.digest[:8]

    @property
    def digest(self) -> str:
        """The SHA-256 in hex, to remember a secret by without keeping it."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"<secret {self.fingerprint}>"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (repr(self),))
