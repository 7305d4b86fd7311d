"""What is handed to a caller: the two values by which a secret may leave over the socket.

Pure data. A Lease lets the socket repeat one. The one invariant: a Vended value was
valid at the moment it was made, a leased one is while the lease lasts.
"""

from __future__ import annotations

import math
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


@dataclass(slots=True)
class Lease:
    """Leave to hand out a value without asking again, until this moment of the boot clock or until it is ended."""

    until_boot_seconds: float

    def end(self) -> None:
        """The value is no longer what it was."""
        self.until_boot_seconds = -math.inf


@dataclass(frozen=True, slots=True)
class ReadyTicket:
    """A ticket that everybody who may have it gets alike while the lease lasts; its life ends at `ends_boot_seconds`.

    `vended.expires_in_seconds` is of the moment it was made: count it anew from the boot clock.
    """

    vended: VendedTicket
    ends_boot_seconds: float
    lease: Lease


@dataclass(frozen=True, slots=True)
class VendedIdToken:
    """An id token handed out to an admin or to `allow_id_token`."""

    name: str
    id_token: Secret
    generation: int
    issued_at: int
    expires_at: int
    expires_in_seconds: int
