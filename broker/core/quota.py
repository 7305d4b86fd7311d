"""The ledger of calls: how many were made in the window, how many may still be made, and by whom.

Pure. Counts on a time of its own that only moves when a clock can be believed, so neither a wrong clock nor a reboot
gives calls back. The one invariant: a call is counted before it is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from broker.core.freshness import DAY_SECONDS
from broker.core.instant import Instant, Span

SLOT_SECONDS = 60.0

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """`daily` calls a window (0: no limit), `reserve` of them kept for requests that find nothing valid.

    `reset` is "rolling" (24 h) or "HH:MM ZONE".
    """

    daily: int
    reserve: int
    reset: str = "rolling"


@dataclass(frozen=True, slots=True)
class Ledger:
    """`calls` are (position, count), oldest first; `position` is the ledger's own time in seconds at `anchor`.

    `forgiven_to`: calls before this position were replenished by the cloud. `stop`: no call until it is over.
    """

    anchor: Instant
    position: float = 0.0
    calls: tuple[tuple[float, int], ...] = ()
    forgiven_to: float = -math.inf
    stop: Span | None = None


def position_at(ledger: Ledger, now: Instant) -> float:
    """The ledger's own time now; it stands still while no clock can tell how long a reboot took."""
    return ledger.position + (now.since(ledger.anchor) or 0.0)


def window_seconds(rule: QuotaRule, now: Instant) -> float:
    """How far back calls count: 24 h, or since the last reset where the time of day is known."""
    if rule.reset == "rolling" or now.true_seconds is None:
        return DAY_SECONDS
    clock, _, zone_name = rule.reset.partition(" ")
    hour, minute = (int(part) for part in clock.split(":"))
    local = datetime.fromtimestamp(now.true_seconds, ZoneInfo(zone_name))
    reset = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if reset > local:
        reset -= timedelta(days=1)
    return min(DAY_SECONDS + 3600.0, local.timestamp() - reset.timestamp())


def _counted(ledger: Ledger, rule: QuotaRule, now: Instant) -> Iterator[tuple[float, int]]:
    start = max(position_at(ledger, now) - window_seconds(rule, now), ledger.forgiven_to)
    return ((position, count) for position, count in ledger.calls if position > start)


def used(ledger: Ledger, rule: QuotaRule, now: Instant) -> int:
    """Calls that count in the window now."""
    return sum(count for _, count in _counted(ledger, rule, now))


def recorded(ledger: Ledger, now: Instant, calls: int = 1) -> Ledger:
    """The ledger with calls added now, what no window can count any more dropped."""
    position = position_at(ledger, now)
    slot = math.ceil(position / SLOT_SECONDS) * SLOT_SECONDS
    kept = tuple(entry for entry in ledger.calls if entry[0] > position - DAY_SECONDS - 3600.0 - SLOT_SECONDS)
    if kept and kept[-1][0] == slot:  # noqa: SIM108 - two shapes, two lines
        kept = (*kept[:-1], (slot, kept[-1][1] + calls))
    else:
        kept = (*kept, (slot, calls))
    return replace(ledger, anchor=now, position=position, calls=kept)


def stopped(ledger: Ledger, now: Instant, seconds: float) -> Ledger:
    """The cloud said that the quota is used up: no call for so long, and what was called before is then forgiven."""
    position = position_at(ledger, now)
    slot_end = math.ceil(position / SLOT_SECONDS) * SLOT_SECONDS
    return replace(ledger, anchor=now, position=position, stop=Span(now, seconds), forgiven_to=slot_end)


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
    window = window_seconds(rule, now)
    if rule.reset != "rolling" and now.true_seconds is not None:
        return max(1.0, DAY_SECONDS - window)
    for position, count in _counted(ledger, rule, now):
        over -= count
        if over <= 0:
            return max(1.0, position + window - position_at(ledger, now))
    return window
