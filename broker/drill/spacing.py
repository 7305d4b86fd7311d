"""Holds the broker's requests to what is promised of them: spaced after a failure, obedient to the cloud, counted.

The promises are written down here a second time, so that a change of the code is not a change of the promise. Knows
no service. The one invariant: it judges by what was sent and answered, never by what the broker believes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.drill.record import DRIFT, SECOND
from broker.drill.script import DAY, MINUTE
from broker.errors import (
    BrokerError,
    GatewayOffline,
    QuotaExhausted,
    RateLimited,
    TokenRefused,
    UpstreamRejected,
    UserActionRequired,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.drill.record import Record
    from broker.drill.script import Household

TOKEN = "token"  # the key of the token endpoint's attempts; an API's is its device
SLOT_SECONDS = 180.0  # a call may count so much longer than a day
AMBIGUOUS_SECONDS = 5.0
EARLY_SHARE = {True: 0.45, False: 2 / 3}  # of its life gone, before a token (True), a ticket is renewed unasked
ASKED_SECONDS = 60.0  # a call may be for whoever asked so long ago, at most
RESERVE_SLACK = 2  # what is under way when the last call ahead of requests is made
EARLY_SECONDS = 5.0  # a life is counted in whole seconds, and from the cloud's Date
SPACED = 10  # so many failed attempts in a row with nothing left …
SPACED_SECONDS = 60.0  # … take at least so long

LEAST_SECONDS: tuple[tuple[type[BrokerError], float], ...] = (
    # the shortest pause after a failure for which nobody told one; half of the first step of its backoff
    (GatewayOffline, 15.0),
    (UserActionRequired, 450.0),
    (UpstreamRejected, 150.0),
    (QuotaExhausted, 1800.0),
    (RateLimited, 30.0),
    (BrokerError, 1.0),
)


@dataclass(slots=True)
class Attempts:
    """The failed attempts of one key since the last success."""

    not_before: float = 0.0
    pause: float = 0.0
    why: str = ""
    may_force: bool = False  # one forced refresh and one retry are due after a 401
    forced_once: bool = False
    empty: deque[float] = field(default_factory=lambda: deque(maxlen=SPACED))  # those with nothing left to serve


class Spacing:
    """The requests of one drill, as they are sent and answered."""

    def __init__(self, household: Household, record: Record) -> None:
        self.squeezed: list[tuple[float, float]] = []  # when the day's calls ahead of requests were used up …
        self.used_up: list[tuple[float, float]] = []  # … and when all calls were
        self._household = household
        self._record = record
        self._attempts: dict[str, Attempts] = {}
        self._account_until = 0.0
        self._call_times: deque[float] = deque()
        self._wanted: dict[str, float] = {}  # not before then is another one of what is in hand needed
        self._under_way: set[str] = set()
        self._asked_at: dict[str, float] = {}
        self._pools: dict[str, list[float]] = {}  # of single-use tickets: when those that are ready end
        self._doors = {door.name: door for door in household.doors}
        self._shared = {door.name for door in household.doors if not door.single_use}
        self._replenished = (-DAY, -DAY)  # the cloud told then that the quota is whole again at the second moment

    @property
    def _now(self) -> float:
        return self._record.clock.elapsed

    # what is sent

    def sent(self, key: str) -> None:
        """A request is sent: not before its time."""
        attempts, now = self._attempts.get(key), self._now
        if key in self._under_way:
            self._record.violate("an answer that is under way is awaited", f"{key}: asked for a second time")
        self._under_way.add(key)
        if now < self._wanted.pop(key, 0.0):
            self._record.violate("no call is wasted", f"{key}: renewed although most of its life is left")
        if len(self._ready(key)) >= self._doors[key].pool if key in self._pools else False:
            self._record.violate("no call is wasted", f"{key}: the pool is full")
        if attempts is None:
            return
        early = attempts.not_before - now
        if early > 0.01 + DRIFT * attempts.pause and attempts.may_force:
            attempts.may_force, attempts.forced_once = False, True
        elif early > 0.01 + DRIFT * attempts.pause:
            self._record.violate("backoff is spaced as promised", f"{key}: {early:.2f} s early after {attempts.why}")
        times = attempts.empty
        if len(times) == SPACED and now - times[0] < SPACED_SECONDS:
            self._record.violate("backoff grows", f"{key}: {SPACED} attempts within {now - times[0]:.0f} s")
            times.clear()

    def called(self, key: str) -> None:
        """A call to the API is made: it counts."""
        now = self._now
        if now < self._account_until - SECOND - DRIFT * DAY:
            left = self._account_until - now
            self._record.violate(
                "a waiting time that the cloud told is obeyed by the whole account", f"{left:.0f} s early"
            )
        self._call_times.append(now)
        calls, quota, excuses = self._calls_that_count(), self._household.daily_quota, self._record.excuses
        if quota:
            self._squeeze(self.squeezed, now, quota - self._household.quota_reserve - 2)
            self._squeeze(self.used_up, now, quota - 2)
        asked = now - self._asked_at.get(key, -DAY) < ASKED_SECONDS
        kept = quota - self._household.quota_reserve + RESERVE_SLACK
        if quota and calls > kept and not asked and not excuses.disk and now > excuses.ledger_until:
            self._record.violate("the reserve is kept for those who ask", f"{key}: call {calls} of {quota}")
        if quota and calls > quota and not excuses.disk and now > excuses.ledger_until:
            self._record.violate("the quota is never exceeded", f"{calls} calls within a day, {quota} allowed")

    def _calls_that_count(self) -> int:
        """Those of a day, without those before a replenishment that the cloud told, once its time has come."""
        now, times = self._now, self._call_times
        told, replenished_at = self._replenished
        counts_from = max(now - DAY + MINUTE, told if now >= replenished_at - SECOND - DRIFT * DAY else -DAY)
        while times and times[0] <= counts_from:
            times.popleft()
        return len(times)

    def calls_to_be_known(self) -> int:
        """Those of a day that the broker must know of: it may forget, at once, those that will be replenished."""
        counts_from = max(self._now - DAY + MINUTE, self._replenished[0] + SLOT_SECONDS)
        return len(self._call_times) - bisect_right(self._call_times, counts_from)

    def _squeeze(self, times: list[tuple[float, float]], now: float, allowed: int) -> None:
        """From now until so many calls of the last day no longer count that there is one to make."""
        over = len(self._call_times) - max(1, allowed)
        if over >= 0:
            times.append((now, self._call_times[over] + DAY + SLOT_SECONDS))

    # what is answered

    def succeeded(self, key: str) -> None:
        """Its failures are over."""
        self._under_way.discard(key)
        self._attempts.pop(key, None)

    def in_hand(self, key: str, life_seconds: float) -> None:
        """Another token, or ticket for all, is in hand: it is good for a while."""
        if key == TOKEN or key in self._shared:
            seconds = min(life_seconds * EARLY_SHARE[key == TOKEN], DAY)
            self._wanted[key] = self._now + seconds * (1 - DRIFT) - EARLY_SECONDS

    def made_before(self, times: Iterable[float], stopped_for: float) -> None:
        """Calls that were made before the beginning, oldest first; those before a stop are replenished at its end."""
        self._call_times.extend(times)
        if stopped_for > 0:
            self._replenished = (self._now, self._now + stopped_for)

    def asked_for(self, key: str) -> None:
        """Somebody asks for a ticket."""
        self._asked_at[key] = self._now

    def shelved(self, key: str) -> None:
        """A single-use ticket is ready."""
        if key not in self._shared:
            self._pools.setdefault(key, []).append(self._now + self._household.ticket_seconds)

    def gave(self, key: str) -> None:
        """The oldest of them that was still good was handed out."""
        least = self._now + min(self._doors[key].min_validity_seconds, self._household.ticket_seconds / 10)
        self._pools[key] = [end for end in self._pools.get(key, ()) if end > least][1:]

    def _ready(self, key: str) -> list[float]:
        """Those of a pool that need no successor yet."""
        soon = self._now + self._household.ticket_seconds / 3 + EARLY_SECONDS
        return [end for end in self._pools[key] if end > soon]

    def given_up(self, key: str | None = None) -> None:
        """What is in hand (None: all of it) is needed anew: it was refused, or lost, or nobody can tell its age."""
        if key is None:
            self._wanted.clear()
            self._pools.clear()
        else:
            self._wanted.pop(key, None)

    def rejected(self, key: str) -> None:
        """The next token may be sent at once."""
        self._under_way.discard(key)
        self._attempts.setdefault(key, Attempts()).not_before = 0.0

    def call_failed(self, key: str, error: BrokerError, *, empty: bool) -> None:
        """A call brought nothing; `empty`: and nothing is left to serve."""
        attempts = self._attempts.setdefault(key, Attempts())
        if isinstance(error, TokenRefused):
            self.given_up(TOKEN)
        attempts.may_force = isinstance(error, TokenRefused) and not attempts.forced_once
        if isinstance(error, RateLimited | QuotaExhausted) and error.retry_after_seconds is not None:
            until = self._now + error.retry_after_seconds
            self._account_until = max(self._account_until, until)
            if isinstance(error, QuotaExhausted):
                self._replenished = (self._now, until)
        self.failed(key, error, empty=empty)

    def failed(self, key: str, error: BrokerError, *, empty: bool) -> None:
        """A request brought nothing; so long the next one has to wait."""
        self._under_way.discard(key)
        attempts, now, told = self._attempts.setdefault(key, Attempts()), self._now, error.retry_after_seconds
        pause = told if told is not None else next(s for kind, s in LEAST_SECONDS if isinstance(error, kind))
        least = AMBIGUOUS_SECONDS if key == TOKEN and error.ambiguous else 0.0
        attempts.pause = max(pause, least, 1.0)
        attempts.not_before = now + attempts.pause
        attempts.why = type(error).__name__
        if told is None and empty:
            attempts.empty.append(now)
        else:
            attempts.empty.clear()

    # what ends a promise

    def forgive(self) -> None:
        """What was promised before no longer binds: other settings, another login, a state or a clock that was lost."""
        self._attempts.clear()
        self._account_until = 0.0
        self.given_up()

    def process_ended(self) -> None:
        """Each process may force one refresh; its calls are spaced all the same."""
        self._under_way.clear()
        self._pools.clear()
        for attempts in self._attempts.values():
            attempts.forced_once = False
