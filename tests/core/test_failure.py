"""Backoff: how long after which failure, as tables; and what a restart, a reload and a cloud's word do to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.failure import NEVER_SECONDS, RUNWAY_SHARE, Failure, Pace, after, delay_seconds, pace_of
from broker.core.instant import Instant
from broker.errors import (
    BrokerError,
    Code,
    GatewayOffline,
    InvalidResponse,
    QuotaExhausted,
    RateLimited,
    Remedy,
    StoreUnavailable,
    UpstreamRejected,
    UpstreamUnavailable,
    UserActionRequired,
)

NOW = Instant("boot", 1000.0, 1_800_000_000.0)
DOWN = UpstreamUnavailable("down", service="token endpoint")


def later(seconds: float) -> Instant:
    return Instant("boot", NOW.boot_seconds + seconds, 1_800_000_000.0 + seconds)


def failures(error: BrokerError, count: int, **more: float | None) -> list[Failure]:
    found: list[Failure] = []
    for _ in range(count):
        previous = found[-1] if found else None
        found.append(after(error, previous, NOW, runway_seconds=more.get("runway"), salt="login"))
    return found


PACES = {
    "an outage begins at 2 s and ends at 5 min": (DOWN, 2.0, 300.0),
    "an unusable answer likewise": (InvalidResponse("html", service="token endpoint"), 2.0, 300.0),
    "a refused application is asked about slowly": (
        UpstreamRejected("invalid_client", service="token endpoint", status=400),
        300.0,
        3600.0,
    ),
    "a wrong call waits for another configuration": (
        UpstreamRejected("bad request", service="issuer", status=400),
        NEVER_SECONDS,
        NEVER_SECONDS,
    ),
    "a forbidden call is tried again slowly": (
        UpstreamRejected("forbidden", service="issuer", status=403),
        300.0,
        3600.0,
    ),
    "an offline gateway is no hurry": (GatewayOffline("offline", service="issuer"), 30.0, 900.0),
    "what a person must do in the app takes time": (UserActionRequired("terms", service="issuer"), 900.0, 3600.0),
    "a quota is looked at hourly": (QuotaExhausted("used up", service="issuer"), 3600.0, 3600.0),
    "too many requests": (RateLimited("429", service="issuer"), 60.0, 300.0),
    "a disk is tried at once and often": (StoreUnavailable("full"), 1.0, 30.0),
}


@pytest.mark.parametrize("name", PACES)
def test_every_failure_has_its_pace(name: str) -> None:
    error, first, cap = PACES[name]
    assert pace_of(error) == Pace(first, cap), name


@given(
    first=st.floats(1, 900),
    factor=st.floats(1, 100),
    count=st.integers(0, 1000),
    runway=st.one_of(st.none(), st.floats(0, 1e7)),
    luck=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_under_a_second_nor_over_its_bounds(
    first: float, factor: float, count: int, runway: float | None, luck: float
) -> None:
    pace = Pace(first, first * factor)
    delay = delay_seconds(pace, count, runway, luck)
    assert 1.0 <= delay <= max(1.0, pace.cap)
    if runway is not None and runway > 0:
        assert delay <= max(1.0, first, runway * RUNWAY_SHARE), "never silent for more than a part of the runway"


def test_the_delay_doubles_until_its_cap() -> None:
    pace = Pace(2.0, 300.0)
    ceilings = [delay_seconds(pace, count, None, 1.0) for count in range(10)]
    assert ceilings == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]


def test_the_jitter_is_full_and_each_logins_own() -> None:
    delays = {
        round(after(DOWN, failures(DOWN, 8)[-1], NOW, runway_seconds=None, salt=f"login {n}").retry.seconds)
        for n in range(60)
    }
    assert len(delays) > 40
    assert min(delays) < 60
    assert max(delays) > 240


def test_what_the_cloud_says_is_obeyed_to_the_second() -> None:
    told = RateLimited("429", service="issuer", retry_after_seconds=57)
    failure = after(told, None, NOW, runway_seconds=10, salt="")
    assert failure.told
    assert failure.next_attempt_in(later(0)) == 57
    assert failure.next_attempt_in(later(56)) == 1
    assert failure.next_attempt_in(later(57)) == 0


def test_even_the_cloud_cannot_silence_us_for_more_than_a_week() -> None:
    told = RateLimited("429", service="issuer", retry_after_seconds=1e9)
    assert after(told, None, NOW, runway_seconds=None, salt="").next_attempt_in(NOW) == 7 * 86_400


def test_the_count_goes_on_and_the_beginning_is_kept_while_the_cause_is_the_same() -> None:
    first = after(DOWN, None, NOW, runway_seconds=None, salt="")
    second = after(DOWN, first, later(60), runway_seconds=None, salt="")
    other = after(StoreUnavailable("full"), second, later(90), runway_seconds=None, salt="")
    assert (second.first, second.last, second.count) == (NOW, later(60), 2)
    assert (other.first, other.count) == (later(90), 3)


def test_a_restart_in_the_same_boot_forgets_no_backoff_and_a_reboot_counts_by_true_time() -> None:
    failure = failures(DOWN, 12)[-1]
    wait = failure.next_attempt_in(NOW)
    assert wait > 10
    rebooted = Instant("another", 5.0, 1_800_000_000.0 + wait / 2)
    assert failure.next_attempt_in(rebooted) == pytest.approx(wait / 2)


def test_where_no_clock_can_tell_the_next_attempt_is_due() -> None:
    assert failures(DOWN, 12)[-1].next_attempt_in(Instant("another", 5.0, None)) == 0


def test_a_clock_set_back_across_a_reboot_cannot_lengthen_a_wait() -> None:
    failure = failures(DOWN, 12)[-1]
    assert failure.next_attempt_in(Instant("another", 5.0, 1.0)) <= failure.retry.seconds


def test_other_settings_end_the_wait_of_what_the_operator_had_to_fix_and_of_nothing_else() -> None:
    fix = UpstreamRejected("invalid_client", service="token endpoint", status=400)
    refused = after(fix, None, NOW, runway_seconds=None, salt="", circumstances="old secret")
    assert refused.remedy is Remedy.FIX
    assert refused.holds("old secret") is refused
    assert refused.holds("new secret") is None
    outage = after(DOWN, None, NOW, runway_seconds=None, salt="", circumstances="old secret")
    assert outage.holds("new secret") is outage


def test_a_failure_answers_with_when_to_come_back_only_where_waiting_helps() -> None:
    outage = after(DOWN, None, NOW, runway_seconds=None, salt="").error(NOW)
    assert outage.code is Code.UPSTREAM_UNAVAILABLE
    assert (outage.retry_after_seconds or 0) >= 1
    fix = UpstreamRejected("invalid_client", service="token endpoint", status=400)
    assert after(fix, None, NOW, runway_seconds=None, salt="").error(NOW).retry_after_seconds is None


def test_a_due_attempt_is_due_now_not_in_the_past() -> None:
    failure = after(DOWN, None, NOW, runway_seconds=None, salt="")
    assert failure.next_attempt_in(later(1e6)) == 0
    assert replace(failure, count=2).next_attempt_in(later(1e6)) == 0


IN_1970 = Instant("next boot", 5.0, None)


def test_while_no_clock_can_be_believed_that_is_told_and_not_what_an_earlier_boot_met() -> None:
    [older], [now] = (
        failures(GatewayOffline("the gateway is offline", service="issuer"), 1),
        [after(DOWN, None, IN_1970, runway_seconds=None, salt="login")],
    )
    for failure, said in ((older, "no clock can be believed yet"), (now, "no clock can be believed yet: down")):
        error = failure.error(IN_1970)
        assert (error.code, error.remedy, error.message) == (Code.CLOCK_UNSYNCHRONIZED, Remedy.RETRY, said)
        assert "NTP" in str(error.hint)
        assert failure.error(NOW).code is failure.code
    [refused] = failures(UpstreamRejected("bad request", service="issuer", status=400), 1)
    assert refused.error(IN_1970).code is Code.CONFIG_ERROR, "no clock mends that"


def test_what_failed_without_a_clock_is_due_as_soon_as_one_can_be_believed() -> None:
    failure = after(DOWN, None, IN_1970, runway_seconds=None, salt="login")
    synchronized = replace(IN_1970, true_seconds=NOW.true_seconds)
    assert failure.next_attempt_in(IN_1970) > 0
    assert failure.next_attempt_in(synchronized) == 0
    told = after(
        RateLimited("429", service="issuer", retry_after_seconds=57), None, IN_1970, runway_seconds=None, salt="x"
    )
    assert told.next_attempt_in(synchronized) == 57, "what the cloud asked for is obeyed all the same"
