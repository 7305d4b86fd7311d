"""How long things still work if nothing more can be had: the runway, and the warnings before a login ends.

Pure. The one invariant: what is promised here holds without a single further answer from the cloud.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.freshness import DAY_SECONDS

if TYPE_CHECKING:
    from broker.core.instant import Instant
    from broker.core.session import Session

WARNINGS: tuple[tuple[str, float], ...] = (("7d", 7 * DAY_SECONDS), ("48h", 2 * DAY_SECONDS), ("12h", DAY_SECONDS / 2))


def window_left(session: Session, now: Instant, sliding_window_seconds: float | None) -> float | None:
    """Seconds until the provider's window, counted from the day of login, closes; None where none is configured."""
    if sliding_window_seconds is None:
        return None
    since = now.since(session.logged_in)
    return None if since is None else sliding_window_seconds - since


def login_left(session: Session, now: Instant, sliding_window_seconds: float | None) -> float | None:
    """Seconds for which the login can still be refreshed; 0 once ended; None where nobody has told."""
    if session.token_to_send() is None:
        return 0.0
    token = None if session.refresh_token_life is None else session.refresh_token_life.remaining(now)
    window = window_left(session, now, sliding_window_seconds)
    known = [left for left in (token, window) if left is not None]
    return max(0.0, min(known)) if known else None


def warnings_in_force(session: Session, now: Instant, sliding_window_seconds: float | None) -> tuple[str, ...]:
    """Those given warnings that still hold; a login that lives longer again will be warned of anew."""
    left = login_left(session, now, sliding_window_seconds)
    thresholds = dict(WARNINGS)
    return tuple(name for name in session.warned if left is not None and left <= thresholds.get(name, 0.0))


def warning_due(session: Session, now: Instant, sliding_window_seconds: float | None) -> tuple[str, float] | None:
    """The tightest warning not given yet, with the seconds left.

    The window's end is foreseen always; a refresh token's only when it is older than half its life, for a fresh one
    is replaced long before.
    """
    left = login_left(session, now, sliding_window_seconds)
    if left is None or left <= 0:
        return None
    window = window_left(session, now, sliding_window_seconds)
    life = session.refresh_token_life
    for name, threshold in reversed(WARNINGS):
        if left > threshold:
            continue
        if name in session.warned:
            return None
        closing = window is not None and window <= threshold  # a token told to end with it ends a second sooner
        if closing or (life is not None and threshold <= life.seconds / 2):
            return (name, left)
    return None
