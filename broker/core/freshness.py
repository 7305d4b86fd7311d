"""When a value is good, when it should be replaced, when it must be: the advisory and the mandatory window.

Pure. The one invariant: a STALE value is served; only EXPIRED makes anybody wait.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.core.instant import Instant, Lifetime

DAY_SECONDS = 86_400.0
TICKET_MARGIN = 1 / 3  # of its life left when a ticket is renewed
JITTER = 0.1  # of the margin, drawn once per value
ID_TOKEN_AGE = 0.5  # of the shorter life gone when an id token is renewed
VALIDITY_SHARE = 0.1  # the most of a life that `min_validity` may withhold


class Freshness(Enum):
    """FRESH serve; STALE serve, and refresh behind; EXPIRED wait for the refresh; UNKNOWN no clock can tell."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Windows:
    """Seconds of life left at which renewal is due (`advisory`), and below which nothing is served (`mandatory`)."""

    advisory_seconds: float
    mandatory_seconds: float


def freshness(lifetime: Lifetime, windows: Windows, now: Instant) -> Freshness:
    """Judge a value by what is left of its life."""
    remaining = lifetime.remaining(now)
    if remaining is None:
        return Freshness.UNKNOWN
    if remaining <= windows.mandatory_seconds:
        return Freshness.EXPIRED
    return Freshness.STALE if remaining <= windows.advisory_seconds else Freshness.FRESH


def draw(*parts: object) -> float:
    """A number in [0, 1) that is always the same for the same parts: jitter without a die."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def validity_in_force(life_seconds: float, min_validity_seconds: float) -> float:
    """The least validity with which a value is handed out: the configured one, at most a tenth of its life."""
    return min(min_validity_seconds, life_seconds * VALIDITY_SHARE)


def ticket_windows(
    lifetime: Lifetime, *, min_validity_seconds: float, jitter: float, margin_seconds: float | None = None
) -> Windows:
    """A ticket is renewed with a third of its life left, or with the plan's margin, a little later by jitter."""
    life = min(lifetime.seconds, lifetime.span.seconds)
    mandatory = validity_in_force(life, min_validity_seconds)
    margin = life * TICKET_MARGIN if margin_seconds is None else min(margin_seconds, life * TICKET_MARGIN)
    return Windows(max(margin * (1 - JITTER * jitter), mandatory), mandatory)


def id_token_windows(lifetime: Lifetime, *, refresh_token_seconds: float | None, jitter: float) -> Windows:
    """An id token is renewed at about half of the shorter of its own and its refresh token's life, at least daily."""
    life = lifetime.span.seconds
    shorter = life if refresh_token_seconds is None else min(life, refresh_token_seconds)
    age = min(shorter * ID_TOKEN_AGE * (1 - JITTER * jitter), DAY_SECONDS)
    mandatory = validity_in_force(life, 30.0)
    return Windows(max(life - age, mandatory), mandatory)
