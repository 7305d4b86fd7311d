"""A failure as data: what went wrong, since when, how often, and when the next attempt is due.

Pure. The one invariant: a retry is a moment kept in the state, so a restart forgets no backoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.core.callin import SERVICE as CALL_IN
from broker.core.freshness import DAY_SECONDS, draw
from broker.core.instant import Span
from broker.errors import (
    BrokerError,
    ClockUnsynchronized,
    Code,
    GatewayOffline,
    KnownFailure,
    QuotaExhausted,
    RateLimited,
    Remedy,
    StoreError,
    UpstreamRejected,
    UserActionRequired,
)

if TYPE_CHECKING:
    from broker.core.instant import Instant

NEVER_SECONDS = 10 * 365 * DAY_SECONDS
CONFIGURATION_STATUS = frozenset({400, 406, 430})  # of the call-in operation: the request itself is wrong
RUNWAY_SHARE = 0.1  # never silent for more than this part of what is left
SHORTEST_DELAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a value. `retry` says when the next attempt is due; `told`: the cloud said so itself."""

    code: Code
    remedy: Remedy
    message: str
    hint: str | None
    first: Instant
    last: Instant
    count: int
    retry: Span
    told: bool
    circumstances: str = ""

    def holds(self, circumstances: str) -> Failure | None:
        """This failure, unless the settings it was met under have changed (a digest of them)."""
        return self if self.circumstances == circumstances or self.remedy is not Remedy.FIX else None

    def next_attempt_in(self, now: Instant) -> float:
        """Seconds until the next attempt, 0 when it is due; where no clock can tell, it is due.

        What failed while no clock could be believed is due as soon as one can: without a clock TLS fails.
        """
        if self._was_without_clock and now.true_seconds is not None:
            return 0.0
        remaining = self.retry.remaining(now)
        return 0.0 if remaining is None else max(0.0, min(remaining, self.retry.seconds))

    @property
    def _was_without_clock(self) -> bool:
        return self.last.true_seconds is None and self.remedy is Remedy.RETRY and not self.told

    def error(self, now: Instant) -> BrokerError:
        """The failure as an error to answer with; while no clock can be believed, that is what is told."""
        waits = self.remedy is Remedy.RETRY
        if waits and now.true_seconds is None:
            said = f": {self.message}" if self.last.boot_id == now.boot_id else ""  # an older one explains nothing
            return ClockUnsynchronized(
                f"no clock can be believed yet{said}", retry_after_seconds=max(1.0, self.next_attempt_in(now))
            )
        return KnownFailure(
            self.message,
            code=self.code,
            remedy=self.remedy,
            retry_after_seconds=max(1.0, self.next_attempt_in(now)) if waits else None,
            hint=self.hint,
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds of the delay between attempts, in seconds: it doubles from `first` to `cap`."""

    first: float
    cap: float


PATIENT = Pace(300.0, 3600.0)
PACES: tuple[tuple[type[BrokerError], Pace], ...] = (
    (GatewayOffline, Pace(30.0, 900.0)),
    (UserActionRequired, Pace(900.0, 3600.0)),
    (UpstreamRejected, PATIENT),
    (QuotaExhausted, Pace(3600.0, 3600.0)),
    (RateLimited, Pace(60.0, 300.0)),
    (StoreError, Pace(1.0, 30.0)),
    (BrokerError, Pace(2.0, 300.0)),
)


def pace_of(error: BrokerError) -> Pace:
    """How patiently to try again after this error; a wrong call is not repeated before its configuration changes.

    A token endpoint that refuses the application is asked again, slowly: what is wrong may be put right at its side.
    """
    if isinstance(error, UpstreamRejected) and error.service == CALL_IN and error.status in CONFIGURATION_STATUS:
        return Pace(NEVER_SECONDS, NEVER_SECONDS)
    return next(pace for kind, pace in PACES if isinstance(error, kind))


def delay_seconds(pace: Pace, count: int, runway_seconds: float | None, luck: float) -> float:
    """Full-jitter exponential backoff, tighter as the runway shrinks (but never below the pace's first step)."""
    ceiling = min(pace.cap, pace.first * float(2 ** min(count, 30)))
    if runway_seconds is not None and runway_seconds > 0:
        ceiling = min(ceiling, max(pace.first, runway_seconds * RUNWAY_SHARE))
    return max(SHORTEST_DELAY_SECONDS, pace.first / 2, ceiling * luck)


def after(
    error: BrokerError,
    previous: Failure | None,
    now: Instant,
    *,
    runway_seconds: float | None,
    salt: str,
    circumstances: str = "",
) -> Failure:
    """The failure record after one more failed attempt; a told waiting time is obeyed to the second."""
    count = 1 if previous is None else previous.count + 1
    told = error.retry_after_seconds
    pace = pace_of(error)
    if told is not None:
        seconds = min(max(told, SHORTEST_DELAY_SECONDS), DAY_SECONDS * 7)
    elif pace.first >= NEVER_SECONDS:
        seconds = NEVER_SECONDS
    else:
        seconds = delay_seconds(pace, count - 1, runway_seconds, draw(salt, count, now.boot_id))
    same = previous is not None and previous.code is error.code
    return Failure(
        code=error.code,
        remedy=error.remedy,
        message=error.message,
        hint=error.hint,
        first=previous.first if same and previous is not None else now,
        last=now,
        count=count,
        retry=Span(now, seconds),
        told=told is not None,
        circumstances=circumstances,
    )
