"""What one client, or all of them, may take of the broker; and the counting of it per uid.

Knows no HTTP. The one invariant: whatever one uid does, the others keep their share.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

MAX_REMEMBERED_UIDS = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the socket; sizes in bytes, times in seconds, rates in requests a second and uid."""

    connections: int = 2048
    connections_per_uid: int = 256
    requests_in_flight_per_uid: int = 192
    head_bytes: int = 16384
    line_bytes: int = 8192
    headers: int = 64
    body_bytes: int = 16384
    header_seconds: float = 10.0
    body_seconds: float = 10.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0
    heartbeat_seconds: float = 30.0
    stop_seconds: float = 5.0
    rate_per_second: float = 250.0
    rate_burst: float = 500.0
    hot_requests: int = 256  # so many answers of the fast path count as one request
    tick_seconds: float = 1.0
    audit_burst: int = 20
    audit_window_seconds: float = 10.0


@dataclass(slots=True)
class Share:
    """What one uid has in use now; `tokens` are the requests it may still make at once.

    `hot_left` are the answers of the fast path that the last token taken for them still pays for.
    """

    uid: int
    tokens: float
    counted_at: float
    connections: int = 0
    in_flight: int = 0
    hot_left: int = 0


class Shares:
    """The shares of all uids; `now` is always the loop's monotonic time in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._shares: dict[int, Share] = {}
        self.connections = 0

    def connect(self, uid: int, now: float) -> Share | None:
        """Count a new connection; None: it would be one too many, of this uid or of all."""
        share = self._share(uid, now)
        if self.connections >= self._limits.connections or share.connections >= self._limits.connections_per_uid:
            return None
        self.connections += 1
        share.connections += 1
        return share

    def disconnect(self, share: Share) -> None:
        """Count a connection's end."""
        self.connections -= 1
        share.connections -= 1

    def take(self, share: Share, now: float) -> float:
        """Count one request; 0.0, or the seconds to wait where this uid asks too often (token bucket)."""
        wait = self.wait(share, now)
        if not wait:
            share.tokens -= 1.0
        return wait

    def wait(self, share: Share, now: float) -> float:
        """Seconds until this uid may ask again; 0.0: at once."""
        limits = self._limits
        share.tokens = min(limits.rate_burst, share.tokens + (now - share.counted_at) * limits.rate_per_second)
        share.counted_at = now
        return 0.0 if share.tokens >= 1.0 else (1.0 - share.tokens) / limits.rate_per_second

    def _share(self, uid: int, now: float) -> Share:
        share = self._shares.get(uid)
        if share is None:
            if len(self._shares) >= MAX_REMEMBERED_UIDS:
                self._forget_idle(now)
            share = self._shares[uid] = Share(uid=uid, tokens=self._limits.rate_burst, counted_at=now)
        return share

    def _forget_idle(self, now: float) -> None:
        full_after = self._limits.rate_burst / self._limits.rate_per_second
        idle = [s.uid for s in self._shares.values() if not s.connections and now - s.counted_at > full_after]
        for uid in idle:
            del self._shares[uid]


def raise_descriptor_limit(wanted: int = 8192) -> int:
    """Raise the soft RLIMIT_NOFILE to `wanted` where the hard limit allows; what is in force afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return soft
    target = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return target
