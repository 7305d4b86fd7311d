"""The ledger of calls: how many were made in the window, how many may still be made, and by whom.

Pure. Counts on a time of its own that only moves when a clock can be believed, so neither a wrong clock nor a reboot
gives calls back. The one invariant: a call is counted before it is made, and never counts for less than its window.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from broker.core.freshness import DAY_SECONDS
from broker.core.instant import Instant, Span

SLOT_SECONDS = 120.0  # calls are kept in slots of so long, each counted as made at its slot's end
LONGEST_WINDOW_SECONDS = DAY_SECONDS + 3600.0  # the day on which summer time ends


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """`daily` calls a window (0: no limit), `reserve` of them kept for requests that find nothing valid.

    `reset` is "rolling" (24 h) or "HH:MM ZONE".
    """

    daily: int
    reserve: int
    reset: str = "rolling"

    @property
    def prefetches(self) -> int | None:
        """Calls a window that may be made ahead of requests; None: no limit."""
        return None if self.daily == 0 else self.daily - self.reserve


@dataclass(frozen=True, slots=True)
class Ledger:
    """`position` is the ledger's own time in seconds at `anchor`; `calls` are (position, total), oldest first.

    A total counts all calls ever made up to that position, `before` those made before the first entry.
    `forgiven_to`: calls before this position were replenished by the cloud. `stop`: no call until it is over.
    """

    anchor: Instant
    position: float = 0.0
    calls: tuple[tuple[float, int], ...] = ()
    before: int = 0
    forgiven_to: float = -math.inf
    stop: Span | None = None


def position_at(ledger: Ledger, now: Instant) -> float:
    """The ledger's own time now; it stands still while no clock can tell how long a reboot took."""
    return ledger.position + (now.since(ledger.anchor) or 0.0)


def next_reset_in(rule: QuotaRule, now: Instant) -> float | None:
    """Seconds until the window begins anew; None where it rolls, or the time of day is not known."""
    if rule.reset == "rolling" or now.true_seconds is None:
        return None
    return _resets(rule, now.true_seconds)[1] - now.true_seconds


def window_seconds(rule: QuotaRule, now: Instant) -> float:
    """How far back calls count: 24 h, or since the last reset where the time of day is known."""
    if rule.reset == "rolling" or now.true_seconds is None:
        return DAY_SECONDS
    return now.true_seconds - _resets(rule, now.true_seconds)[0]


def _resets(rule: QuotaRule, true_seconds: float) -> tuple[float, float]:
    """The last and the next reset as Unix seconds; a day may have 23 or 25 hours."""
    clock, _, zone_name = rule.reset.partition(" ")
    zone = ZoneInfo(zone_name)
    hour, minute = (int(part) for part in clock.split(":"))
    today = datetime.fromtimestamp(true_seconds, zone).date()
    days = [today + timedelta(days=offset) for offset in (-1, 0, 1)]
    before, middle, after = (datetime.combine(day, time(hour, minute), zone).timestamp() for day in days)
    return (middle, after) if middle <= true_seconds else (before, middle)


def _total(ledger: Ledger) -> int:
    return ledger.calls[-1][1] if ledger.calls else ledger.before


def calls_ever(ledger: Ledger) -> int:
    """Calls counted since the ledger began."""
    return _total(ledger)


def _total_until(ledger: Ledger, position: float) -> int:
    """Calls ever made up to this position."""
    entry = bisect_right(ledger.calls, position, key=itemgetter(0))
    return ledger.calls[entry - 1][1] if entry else ledger.before


def _window_start(ledger: Ledger, rule: QuotaRule, now: Instant) -> float:
    return max(position_at(ledger, now) - window_seconds(rule, now), ledger.forgiven_to)


def used(ledger: Ledger, rule: QuotaRule, now: Instant) -> int:
    """Calls that count in the window now."""
    return _total(ledger) - _total_until(ledger, _window_start(ledger, rule, now))


def still_counted(ledger: Ledger, rule: QuotaRule, now: Instant, ahead_seconds: float) -> int:
    """Calls made so far that will still count so many seconds from now."""
    reset = next_reset_in(rule, now)
    if reset is not None:
        return used(ledger, rule, now) if ahead_seconds < reset else 0
    start = max(position_at(ledger, now) + ahead_seconds - DAY_SECONDS, ledger.forgiven_to)
    return _total(ledger) - _total_until(ledger, start)


def recorded(ledger: Ledger, now: Instant, calls: int = 1) -> Ledger:
    """The ledger with calls added now, what no window can count any more dropped."""
    position = position_at(ledger, now)
    slot = math.ceil(position / SLOT_SECONDS) * SLOT_SECONDS
    kept, before, total = ledger.calls, ledger.before, _total(ledger) + calls
    while kept and kept[0][0] <= position - LONGEST_WINDOW_SECONDS - SLOT_SECONDS:
        before, kept = kept[0][1], kept[1:]
    if kept and kept[-1][0] == slot:
        kept = kept[:-1]
    return Ledger(now, position, (*kept, (slot, total)), before, ledger.forgiven_to, ledger.stop)


def stopped(ledger: Ledger, now: Instant, seconds: float) -> Ledger:
    """The cloud said that the quota is used up: no call for so long, and what was called before is then forgiven."""
    position = position_at(ledger, now)
    slot_end = math.ceil(position / SLOT_SECONDS) * SLOT_SECONDS
    return replace(ledger, anchor=now, position=position, stop=Span(now, seconds), forgiven_to=slot_end)


def resumed(ledger: Ledger) -> Ledger:
    """The stop is over."""
    return replace(ledger, stop=None)


def stopped_for(ledger: Ledger, now: Instant) -> float:
    """Seconds for which the cloud's own stop still holds; 0 when it does not."""
    if ledger.stop is None:
        return 0.0
    remaining = ledger.stop.remaining(now)
    return max(0.0, ledger.stop.seconds if remaining is None else remaining)


def free_in(ledger: Ledger, rule: QuotaRule, now: Instant, *, prefetch: bool) -> float:
    """Seconds until one more call may be made: 0 now; a prefetch leaves the reserve alone."""
    stop = stopped_for(ledger, now)
    if rule.daily == 0:
        return stop
    allowed = rule.daily - (rule.reserve if prefetch else 0)
    over = used(ledger, rule, now) - allowed + 1
    if over <= 0:
        return stop
    return max(stop, _window_frees_in(ledger, rule, now, over))


def _window_frees_in(ledger: Ledger, rule: QuotaRule, now: Instant, over: int) -> float:
    reset = next_reset_in(rule, now)
    if reset is not None:
        return max(1.0, reset)
    through = _total_until(ledger, _window_start(ledger, rule, now)) + over
    entry = bisect_left(ledger.calls, through, key=itemgetter(1))
    if entry == len(ledger.calls):
        return DAY_SECONDS  # nothing is allowed at all
    return max(1.0, ledger.calls[entry][0] + DAY_SECONDS - position_at(ledger, now))
