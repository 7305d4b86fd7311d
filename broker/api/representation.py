"""The bodies of success, as bytes: tickets, id tokens, rows, lines.

Knows no aiohttp. The one invariant: this is where a Secret becomes bytes for a client, and the only place.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from broker.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.core.vended import VendedIdToken, VendedTicket


SERVER_NAME = "eliot-broker"


def success_headers(content_type: str) -> dict[str, str]:
    """The headers of every answer that is no problem: nobody may keep it."""
    return {"Content-Type": content_type, "Cache-Control": "no-store", "Server": SERVER_NAME}


def tagged(generation: int) -> dict[str, str]:
    """The headers of a representation that has a generation."""
    return {"ETag": f'"{generation}"', "Vary": "Accept"}


def ticket_body(vended: VendedTicket, expires_in_seconds: int | None = None) -> bytes:
    """The JSON of GET /v1/tickets/{name}; `expires_in_seconds` None: as of when it was vended."""
    left = vended.expires_in_seconds if expires_in_seconds is None else expires_in_seconds
    return encode(
        {
            "name": vended.name,
            "ticket": vended.ticket.reveal(),
            "generation": vended.generation,
            "issued_at": vended.issued_at,
            "expires_at": vended.expires_at,
            "expires_in": left,
            "plant_id": vended.plant_id,
            "device_id": vended.device_id,
            "sender": dict(vended.sender),
        }
    )


def id_token_body(vended: VendedIdToken) -> bytes:
    """The JSON of GET /v1/accounts/{name}/id-token."""
    return encode(
        {
            "name": vended.name,
            "id_token": vended.id_token.reveal(),
            "generation": vended.generation,
            "issued_at": vended.issued_at,
            "expires_at": vended.expires_at,
            "expires_in": vended.expires_in_seconds,
        }
    )


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON of a document that carries no secret; a Secret in it is a bug (TypeError)."""
    return json.dumps(document).encode()


def encode_line(line: Mapping[str, Any]) -> bytes:
    """One line of NDJSON; the ticket in a line of `watch` is a Secret, or a plain string."""
    return json.dumps(line, default=_reveal).encode() + b"\n"


def _reveal(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"not JSON: {type(value).__name__}")
