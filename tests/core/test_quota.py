from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.core import quota
from broker.core.instant import Instant
from broker.core.quota import Ledger, QuotaRule

DAY = 86_400.0
RULE = QuotaRule(daily=10, reserve=3)
START = 1_795_003_200.0


def at(seconds: float, boot_id: str = "boot", *, true: bool = True) -> Instant:
    return Instant(boot_id, 1000.0 + seconds, START + seconds if true else None)


def called(ledger: Ledger, *times: float) -> Ledger:
    for time in times:
        ledger = quota.recorded(ledger, at(time))
    return ledger


def test_calls_count_for_a_day_and_no_less() -> None:
    ledger = called(Ledger(at(0)), 10, 20, 30)
    assert quota.used(ledger, RULE, at(40)) == 3
    assert quota.used(ledger, RULE, at(DAY + 5)) == 3
    assert quota.used(ledger, RULE, at(DAY + quota.SLOT_SECONDS + 40)) == 0


def test_a_prefetch_stops_before_the_reserve_and_a_request_does_not() -> None:
    ledger = called(Ledger(at(0)), *range(7))
    assert quota.free_in(ledger, RULE, at(10), prefetch=True) > DAY - 20
    assert quota.free_in(ledger, RULE, at(10), prefetch=False) == 0
    ledger = called(ledger, 11, 12, 13)
    assert quota.free_in(ledger, RULE, at(14), prefetch=False) > DAY - 20


def test_after_the_time_told_one_more_call_is_free() -> None:
    ledger = called(Ledger(at(0)), *(hour * 3600.0 for hour in range(10)))
    now = at(11 * 3600.0)
    wait = quota.free_in(ledger, RULE, now, prefetch=False)
    assert quota.free_in(ledger, RULE, at(11 * 3600.0 + wait), prefetch=False) == 0
    assert quota.free_in(ledger, RULE, at(11 * 3600.0 + wait - 2), prefetch=False) > 0


def test_calls_that_were_dropped_from_the_ledger_count_no_more() -> None:
    ledger = called(Ledger(at(0)), *range(5), 3 * DAY)
    assert len(ledger.calls) == 1
    assert quota.used(ledger, RULE, at(3 * DAY + 10)) == 1


def test_without_a_quota_only_a_stop_holds_calls_back() -> None:
    rule_ = QuotaRule(0, 0)
    ledger = called(Ledger(at(0)), *range(100))
    assert quota.free_in(ledger, rule_, at(200), prefetch=True) == 0
    stopped = quota.stopped(ledger, at(200), 50.0)
    assert quota.free_in(stopped, rule_, at(210), prefetch=False) == 40
    assert quota.free_in(stopped, rule_, at(250), prefetch=False) == 0


def test_what_the_cloud_replenished_is_forgiven() -> None:
    ledger = quota.stopped(called(Ledger(at(0)), *range(10)), at(20), 60.0)
    assert quota.free_in(ledger, RULE, at(30), prefetch=True) == 50
    assert quota.free_in(ledger, RULE, at(81), prefetch=True) == 0


def test_a_reserve_as_large_as_the_quota_allows_no_prefetch_ever() -> None:
    assert quota.free_in(Ledger(at(0)), QuotaRule(5, 5), at(1), prefetch=True) == DAY
    assert quota.free_in(Ledger(at(0)), QuotaRule(5, 5), at(1), prefetch=False) == 0


def test_a_reboot_without_a_clock_gives_no_call_back() -> None:
    ledger = called(Ledger(at(0)), *range(10))
    later = Instant("other boot", 5.0, None)
    assert quota.used(ledger, RULE, later) == 10
    assert quota.used(ledger, RULE, Instant("other boot", 5.0, START + 2 * DAY)) == 0


def test_a_stop_holds_in_full_after_a_reboot_without_a_clock() -> None:
    ledger = quota.stopped(Ledger(at(0)), at(0), 600.0)
    assert quota.stopped_for(ledger, Instant("other boot", 5.0, None)) == 600.0


ROME = QuotaRule(10, 3, "00:00 Europe/Rome")


def rome(*parts: int) -> Instant:
    seconds = datetime(*parts, tzinfo=ZoneInfo("Europe/Rome")).timestamp()  # type: ignore[misc,arg-type]
    return Instant("boot", seconds - START + 1000.0, seconds)


@pytest.mark.parametrize(
    ("now", "since", "left"),
    [
        ((2026, 11, 23, 9, 30), 9.5, 14.5),
        ((2026, 11, 23, 0, 0), 0.0, 24.0),
        ((2026, 10, 25, 12, 0), 13.0, 12.0),  # the day with 25 hours
        ((2026, 3, 29, 12, 0), 11.0, 12.0),  # the day with 23
        ((2026, 10, 25, 0, 30), 0.5, 24.5),
    ],
)
def test_a_reset_at_midnight_knows_days_of_23_and_25_hours(now: tuple[int, ...], since: float, left: float) -> None:
    assert quota.window_seconds(ROME, rome(*now)) == since * 3600
    assert quota.next_reset_in(ROME, rome(*now)) == left * 3600


def test_calls_before_midnight_no_longer_count_after_it() -> None:
    ledger = Ledger(rome(2026, 11, 23, 20, 0))
    for minute in range(10):
        ledger = quota.recorded(ledger, rome(2026, 11, 23, 20, minute))
    late = rome(2026, 11, 23, 22, 0)
    assert quota.free_in(ledger, ROME, late, prefetch=False) == 2 * 3600
    assert quota.used(ledger, ROME, rome(2026, 11, 24, 0, 1)) == 0


def test_while_the_time_of_day_is_unknown_a_reset_rule_counts_a_whole_day() -> None:
    ledger = quota.recorded(Ledger(at(0)), at(0))
    assert quota.used(ledger, ROME, at(DAY - 10, true=False)) == 1


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=300), st.floats(0, 2 * DAY))
def test_the_ledger_agrees_with_counting_one_by_one(gaps: list[float], later: float) -> None:
    ledger, now, times = Ledger(at(0)), 0.0, []
    for gap in gaps:
        now += gap
        ledger = quota.recorded(ledger, at(now))
        times.append(now)
    now += later
    exact = sum(1 for time in times if time > now - DAY)
    late = sum(1 for time in times if time > now - DAY - quota.SLOT_SECONDS)
    assert exact <= quota.used(ledger, QuotaRule(10**9, 0), at(now)) <= late
    assert len(ledger.calls) <= (DAY + 3600) / quota.SLOT_SECONDS + 3


@given(st.lists(st.floats(0, 4000), max_size=60), st.floats(0, DAY))
def test_what_will_still_count_is_what_counts_then(gaps: list[float], ahead: float) -> None:
    ledger, now = Ledger(at(0)), 0.0
    for gap in gaps:
        now += gap
        ledger = quota.recorded(ledger, at(now))
    foreseen = quota.still_counted(ledger, RULE, at(now), ahead)
    assert foreseen == quota.used(ledger, RULE, at(now + ahead))


class LedgerMachine(RuleBasedStateMachine):
    """Calls only where the ledger allows them: then no 24 hours ever hold more than the quota."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.boots = 0
        self.ledger = Ledger(self.instant())
        self.calls: list[tuple[float, bool]] = []

    def instant(self, *, believed: bool = True) -> Instant:
        return Instant(f"boot-{self.boots}", 1000.0 + self.now, START + self.now if believed else None)

    @rule(seconds=st.floats(0, 30_000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(off=st.floats(0, 5000))
    def reboot(self, off: float) -> None:
        self.boots += 1
        self.now += off

    @rule(prefetch=st.booleans(), count=st.integers(1, 8))
    def call(self, prefetch: bool, count: int) -> None:
        for _ in range(count):
            if quota.free_in(self.ledger, RULE, self.instant(), prefetch=prefetch) <= 0:
                self.ledger = quota.recorded(self.ledger, self.instant())
                self.calls.append((self.now, prefetch))

    @precondition(lambda self: quota.free_in(self.ledger, RULE, self.instant(), prefetch=False) > 0)
    @rule()
    def wait_as_told(self) -> None:
        self.now += quota.free_in(self.ledger, RULE, self.instant(), prefetch=False)
        assert quota.free_in(self.ledger, RULE, self.instant(), prefetch=False) <= 1

    @invariant()
    def never_more_than_the_quota(self) -> None:
        recent = [prefetch for time, prefetch in self.calls if time > self.now - DAY + 0.001]
        assert len(recent) <= RULE.daily
        assert not math.isnan(quota.position_at(self.ledger, self.instant()))


TestLedger = LedgerMachine.TestCase
