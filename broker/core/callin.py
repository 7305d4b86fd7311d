"""The call-in operation's answer, as the vendor's page has it, turned into a ticket or a classified failure.

Pure: it is given status, headers and body. Facts and page: README, "What is unverified about the cloud".
The one invariant: whatever the cloud says, the outcome is an IssuedTicket or an UpstreamError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.core.secret import Secret


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """A ticket as the operation gave it.

    `issued_at`, `expires_at` are Unix seconds read (not verified) from the JWT, None where it tells none or is
    opaque; `server_seconds` is the answer's Date plus Age as Unix time; `sender` is the answer's entry, as it came.
    """

    ticket: Secret
    sender: Mapping[str, object]
    issued_at: int | None
    expires_at: int | None
    server_seconds: float | None
