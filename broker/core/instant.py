"""When something was, told so that a wrong wall clock cannot harm: boot clock within a boot, true time across boots.

Knows no clock; values come from the Clock port. The one invariant: within one boot only CLOCK_BOOTTIME counts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What the machine's clocks say: `boot_seconds` counts suspend too, `wall_seconds` is Unix time as set."""

    boot_id: str
    boot_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment; `true_seconds` is Unix time as far as it can be believed, None while no clock can be."""

    boot_id: str
    boot_seconds: float
    true_seconds: float | None

    def since(self, earlier: Instant) -> float | None:
        """Seconds from `earlier` to now, never negative; None where the two cannot be compared."""
        if earlier.boot_id == self.boot_id:
            return max(0.0, self.boot_seconds - earlier.boot_seconds)
        if self.true_seconds is None or earlier.true_seconds is None:
            return None
        return max(0.0, self.true_seconds - earlier.true_seconds)


@dataclass(frozen=True, slots=True)
class Span:
    """So many seconds from a moment on: a lifetime, a backoff, a stop."""

    start: Instant
    seconds: float

    def remaining(self, now: Instant) -> float | None:
        """Seconds left (negative once over); None where no clock can tell."""
        elapsed = now.since(self.start)
        return None if elapsed is None else self.seconds - elapsed


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a token or ticket lives: as its own text says (for display), and as counted from its receipt.

    `issued_at` and `expires_at` are Unix seconds; `span` is what decides.
    """

    issued_at: int
    expires_at: int
    span: Span

    @property
    def seconds(self) -> float:
        """The whole life that the document claims."""
        return float(self.expires_at - self.issued_at)

    def remaining(self, now: Instant) -> float | None:
        """Seconds of validity left; None where no clock can tell."""
        return self.span.remaining(now)


def lifetime_at_receipt(
    *, issued_at: int | None, expires_at: int, server_seconds: float | None, now: Instant, wall_seconds: float
) -> Lifetime:
    """The life of a value that has just been received, distrusting the local clock.

    The server's own clock (`server_seconds`, its Date header) against the document's `expires_at` says how much is
    left; it is bounded by `iat`, for a server's Date from before the token was made cannot be right. Without a Date
    the whole `exp - iat` counts from receipt; without either, the wall clock decides.
    """
    if server_seconds is not None:
        reference = server_seconds if issued_at is None else max(server_seconds, float(issued_at))
    elif issued_at is not None:
        reference = float(issued_at)
    else:
        reference = now.true_seconds if now.true_seconds is not None else wall_seconds
    start = issued_at if issued_at is not None else min(int(reference), expires_at)
    return Lifetime(issued_at=start, expires_at=expires_at, span=Span(now, expires_at - reference))
