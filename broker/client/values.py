"""What the library hands to its callers: a ticket, an id token, a line of `watch`.

Pure data, read from the socket's documents. The one invariant: no repr shows a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from broker.client.problems import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call-in JWT, valid when it was answered; times are Unix seconds, `expires_in` was counted by the broker."""

    name: str
    value: str = field(repr=False)
    generation: int
    issued_at: int
    expires_at: int
    expires_in: int
    plant_id: str = ""
    device_id: str = ""
    sender: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Ticket:
        """Read the answer of GET /v1/tickets/{name}. Raises: ClientError."""
        sender = document.get("sender")
        return cls(
            _field(document, "name", str),
            _field(document, "ticket", str),
            _field(document, "generation", int),
            _field(document, "issued_at", int),
            _field(document, "expires_at", int),
            _field(document, "expires_in", int),
            str(document.get("plant_id") or ""),
            str(document.get("device_id") or ""),
            dict(sender) if isinstance(sender, dict) else {},
        )


@dataclass(frozen=True, slots=True)
class IdToken:
    """An account's id token; times are Unix seconds."""

    name: str
    value: str = field(repr=False)
    generation: int
    issued_at: int
    expires_at: int
    expires_in: int

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> IdToken:
        """Read the answer of GET /v1/accounts/{name}/id-token. Raises: ClientError."""
        return cls(
            _field(document, "name", str),
            _field(document, "id_token", str),
            _field(document, "generation", int),
            _field(document, "issued_at", int),
            _field(document, "expires_at", int),
            _field(document, "expires_in", int),
        )


@dataclass(frozen=True, slots=True)
class WatchLine:
    """One line of `watch`: `type` is ticket, unavailable, heartbeat or end; `document` the line as it came."""

    type: str
    ticket: Ticket | None = None
    code: str | None = None
    remedy: str | None = None
    detail: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> WatchLine:
        """Read one line; a ticket line of a single-use ticket carries no ticket. Raises: ClientError."""
        return cls(
            _field(document, "type", str),
            Ticket.from_document(document) if "ticket" in document else None,
            document.get("code"),
            document.get("remedy"),
            document.get("detail"),
            document,
        )


def _field(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = document.get(name)
    if not isinstance(value, kind):
        raise ClientError(f"the broker's answer has no {name}", hint="is it a broker of another version?")
    return value
