"""What is handed to a caller: the two values by which a secret may leave over the socket.

Pure data. The one invariant: a Vended value was valid at the moment it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.core.secret import Secret


@dataclass(frozen=True, slots=True)
class VendedTicket:
    """A ticket handed out; times are Unix seconds, `expires_in_seconds` is the rest as counted on the boot clock."""

    name: str
    ticket: Secret
    generation: int
    issued_at: int
    expires_at: int
    expires_in_seconds: int
    plant_id: str
    device_id: str
    sender: Mapping[str, object]
    single_use: bool


@dataclass(frozen=True, slots=True)
class VendedIdToken:
    """An id token handed out to an admin or to `allow_id_token`."""

    name: str
    id_token: Secret
    generation: int
    issued_at: int
    expires_at: int
    expires_in_seconds: int
