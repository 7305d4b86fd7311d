"""How one account's calls are planned: what is kept warm, how long before its end it is renewed, and why.

Knows the tickets' needs and the ledger, no cloud. Needs are counted by kind, so that a plan costs the same for ten
tickets as for ten thousand of one kind. The one invariant: it plans prefetches only; what callers ask for is not its
business.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.core import quota
from broker.core.demand import DAY_HOURS, HOUR_SECONDS, following_rate, forecast
from broker.core.freshness import draw
from broker.core.hours import EVERYTHING, Allowance, Bids, Grant, share_out
from broker.core.plan import NOTHING, Need, Plan, make_plan
from broker.core.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.core.demand import Demand
    from broker.core.instant import Instant
    from broker.services.book import Book
    from broker.services.calls import Calls

REPLAN_SECONDS = 900.0  # how long a choice of hours holds, if nothing else changes
WITHOUT_CLOCK_SECONDS = 300.0
CHOSEN_PART = 0.95  # of the calls that are left; the rest is for what nobody foresaw, and for yesterday's late calls


class Planner:
    """The plan of one account. `steady` is for tickets kept warm always, `adaptive` for those at chosen hours."""

    def __init__(self, book: Book) -> None:
        self.steady: Plan = NOTHING
        self.adaptive: Plan = NOTHING
        self.grant: Grant = EVERYTHING
        self._book = book
        self._steady: Counter[Need] = Counter()
        self._adaptive: Counter[Need] = Counter()
        self._kinds: dict[Need, Need] = {}
        self._stale = True
        self._granted: Instant | None = None
        self._first_hour = 0
        self.version = 0  # of the plan: margins hold while it is the same

    # what the tickets need

    def need(self, before: Need | None, after: Need | None, *, adaptive: bool) -> Need | None:
        """A ticket's need has changed: the need, one object for all that are equal."""
        after = None if after is None else self._kinds.setdefault(after, after)
        if before == after:
            return after
        counter = self._adaptive if adaptive else self._steady
        if before is not None:
            counter[before] -= 1
            if counter[before] == 0:  # lives may differ with every ticket: what nobody needs is not kept
                del counter[before]
                self._kinds.pop(before, None)
        if after is not None:
            counter[after] += 1
        self._stale = True
        return after

    def forget(self) -> None:
        """Begin anew: the configuration has changed."""
        self._kinds.clear()
        self._steady.clear()
        self._adaptive.clear()
        self._stale, self._granted = True, None

    # the plan

    def replan(self, calls: Calls) -> bool:
        """Divide the day's calls anew where a need has changed; whether the plan in words did."""
        if not self._stale:
            return False
        before, self._stale, self._granted = self.words, False, None
        self.version += 1
        prefetches = calls.rule.prefetches
        allowed = None if prefetches is None else float(prefetches)
        self.steady = make_plan(_counted(self._steady), allowed)
        left = None if allowed is None else max(0.0, allowed - self.steady.planned)
        self.adaptive = make_plan(_counted(self._adaptive), left)
        return self.words != before

    @property
    def chooses_hours(self) -> bool:
        """Whether the quota is too small to keep every adaptive ticket warm around the clock."""
        return self.adaptive.stretch > 1

    def grant_is_old(self, now: Instant) -> bool:
        """Whether the hours must be chosen anew."""
        return self.grant_due_in(now) <= 0

    def grant_due_in(self, now: Instant) -> float:
        """Seconds until the hours are chosen anew; infinite where nothing is to be chosen."""
        if not any(self._adaptive.values()) or now.true_seconds is None:
            return math.inf
        return 0.0 if self._granted is None else max(0.0, REPLAN_SECONDS - (now.since(self._granted) or 0.0))

    def begin_bids(self) -> Bids:
        """An empty set of bids, to which `bid` adds."""
        return Bids()

    def bid(self, bids: Bids, demand: Demand | None, need: Need, now: Instant) -> None:
        """One adaptive ticket's bids for the next day."""
        true_seconds = now.true_seconds or 0.0
        interval = self._interval(need)
        worths = [rate * interval / HOUR_SECONDS for rate in forecast(demand, true_seconds)]
        bids.add(worths, need.count * HOUR_SECONDS / interval, 1 - (true_seconds % HOUR_SECONDS) / HOUR_SECONDS)

    def grant_hours(self, bids: Bids, calls: Calls, now: Instant) -> None:
        """Choose the hours of the next day."""
        self.grant = share_out(bids, list(self._allowances(calls, now)))
        self._granted = now
        self._first_hour = int((now.true_seconds or 0.0) // HOUR_SECONDS)

    def _allowances(self, calls: Calls, now: Instant) -> Iterable[Allowance]:
        """What the quota leaves for adaptive tickets: in every window that ends within the next day."""
        rule, ledger = calls.rule, self._book.ledger
        if rule.prefetches is None:
            return
        prefetches = rule.prefetches * CHOSEN_PART
        stop_hours = math.ceil(quota.stopped_for(ledger, now) / HOUR_SECONDS)
        if stop_hours > 0:
            yield Allowance(0, stop_hours - 1, 0.0)
        steady_an_hour = self.steady.planned / DAY_HOURS
        into_hour = (now.true_seconds or 0.0) % HOUR_SECONDS
        reset = quota.next_reset_in(rule, now)
        if reset is not None:
            last = min(DAY_HOURS - 1, int((into_hour + reset) // HOUR_SECONDS))
            spent = quota.used(ledger, rule, now) + steady_an_hour * reset / HOUR_SECONDS
            yield Allowance(0, last, prefetches - spent)
            yield Allowance(last + 1, DAY_HOURS - 1, prefetches - steady_an_hour * (DAY_HOURS - 1 - last))
            return
        for last in range(DAY_HOURS):
            ahead = (last + 1) * HOUR_SECONDS - into_hour
            spent = quota.still_counted(ledger, rule, now, ahead) + steady_an_hour * ahead / HOUR_SECONDS
            yield Allowance(0, last, prefetches - spent)

    # what one ticket may ask

    def wants_warm(self, name: str, demand: Demand | None, need: Need, now: Instant) -> bool:
        """Whether an adaptive ticket should be kept warm now."""
        true_seconds = now.true_seconds
        if true_seconds is None:
            return False
        interval = self._interval(need)
        rate = forecast(demand, true_seconds, 1)[0] / HOUR_SECONDS
        if demand is not None:
            rate += following_rate(demand, true_seconds)
        hour = int(true_seconds // HOUR_SECONDS)
        return self.grant.includes(max(0, hour - self._first_hour), rate * interval, draw(name, hour))

    def looks_again_in(self, now: Instant) -> float:
        """Seconds until an adaptive ticket that is not kept warm is thought about again: the next hour."""
        if now.true_seconds is None:
            return WITHOUT_CLOCK_SECONDS
        return HOUR_SECONDS - now.true_seconds % HOUR_SECONDS

    def margin_seconds(self, need: Need, *, adaptive: bool) -> float:
        """How much of its life a ticket has left when it is renewed."""
        return (self.adaptive if adaptive else self.steady).margin_seconds(need)

    def _interval(self, need: Need) -> float:
        return max(1.0, need.life_seconds - self.adaptive.margin_seconds(need))

    # in words

    @property
    def needed(self) -> float:
        """The calls a day that would keep everything warm around the clock, a third of each life ahead."""
        return self.steady.needed + self.adaptive.needed

    @property
    def planned(self) -> float:
        """The prefetches a day that are planned."""
        return self.steady.planned + (self._granted_calls if self.chooses_hours else self.adaptive.planned)

    @property
    def _granted_calls(self) -> float:
        return self.adaptive.planned if self._granted is None else min(self.grant.calls, self.adaptive.planned)

    @property
    def allowed(self) -> float | None:
        """The prefetches a day that the quota allows, its reserve left alone; None: no limit."""
        return self.steady.allowed

    @property
    def words(self) -> str:
        """The plan for people."""
        limit = "no limit" if self.allowed is None else f"{self.allowed:.0f} allowed"
        told = [f"{counted(round(self.needed), 'call')} a day needed, {limit}"]
        if self.steady.needed:
            told.append(_steady_words(self.steady))
        if self.adaptive.needed:
            told.append(_adaptive_words(self.adaptive))
        return "; ".join(told)


def _counted(needs: Counter[Need]) -> list[Need]:
    return [replace(need, count=need.count * number) for need, number in needs.items() if number > 0]


def _steady_words(plan: Plan) -> str:
    if plan.stretch > 1:
        return (
            f'the quota keeps warm = "always" warm for {100 * plan.covered:.0f} % of the day, evenly spread; '
            'the rest is fetched when asked for (warm = "adaptive" would choose the hours)'
        )
    if plan.share < 1:
        calls = counted(round(plan.planned), "call")
        return f"kept warm always, renewed later than with a third of the life left: {calls} a day"
    return "kept warm always, renewed with a third of the life left"


def _adaptive_words(plan: Plan) -> str:
    if plan.stretch > 1:
        return (
            f"adaptive tickets kept warm for about {100 * plan.covered:.0f} % of the day, in the hours that are "
            "asked for most and after each request"
        )
    return "adaptive tickets kept warm whenever somebody is likely to ask"
