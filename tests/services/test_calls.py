from __future__ import annotations

import itertools
import random
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from broker.config import AccountConfig
from broker.core.failure import NEVER_SECONDS
from broker.drill.virtual import VirtualClock, pass_seconds
from broker.errors import (
    Code,
    GatewayOffline,
    QuotaExhausted,
    RateLimited,
    TokenRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
    UserActionRequired,
)
from broker.services import fleet
from tests.benchmarks.planning.world import NoDisk, a_door
from tests.services.fakes import an_account
from tests.services.lab import START, Lab, in_lab

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = "issuer"
DAY = 86_400.0
FRONT, BACK = a_door("front", "always"), a_door("back", "always")


def quota(seconds: float) -> QuotaExhausted:
    return QuotaExhausted("403: out of call volume quota", service=ISSUER, status=403, retry_after_seconds=seconds)


def refused_token() -> UpstreamRejected:
    return TokenRefused("401", service=ISSUER, status=401)


# the quota that the cloud tells


@pytest.mark.parametrize("seed", range(8))
def test_after_a_403_for_quota_no_call_until_it_is_replenished_whenever_it_comes(seed: int) -> None:
    dice = random.Random(seed)

    async def scenario(lab: Lab) -> None:
        await pass_seconds(dice.uniform(0, 900))
        stop, calls = dice.uniform(60, 30_000), lab.calls
        lab.cloud.outcomes.append(quota(stop))
        while lab.calls == calls:
            await pass_seconds(1)
        await lab.settle()
        told, until = lab.calls, lab.cloud.seen[-1][0] + stop
        await pass_seconds(301)  # nothing is valid any more
        while lab.clock.true_seconds < until - 100:
            before = lab.clock.monotonic_seconds
            for number in (0, 1):
                error = await lab.refused(number)
                assert error.code is Code.QUOTA_EXHAUSTED
                assert error.retry_after_seconds is not None
                assert abs(error.retry_after_seconds - (until - lab.clock.true_seconds)) < 2
            assert lab.clock.monotonic_seconds == before, "the answer came late"
            await pass_seconds(dice.uniform(30, 3000))
            if lab.clock.true_seconds < until:
                assert lab.calls == told
        await lab.until(until + 5)
        await lab.get(0)
        await lab.get(1)
        assert len(lab.recorder.of("quota.exhausted")) == len(lab.recorder.of("quota.replenished")) == 1

    in_lab(scenario, FRONT, BACK, daily_quota=500)


def test_a_stop_holds_over_a_restart() -> None:
    store, clock = NoDisk(), VirtualClock(START)

    async def before(lab: Lab) -> None:
        lab.cloud.outcomes.append(quota(7200))
        await lab.settle()

    async def after(lab: Lab) -> None:
        await pass_seconds(3600)
        assert (await lab.refused()).code is Code.QUOTA_EXHAUSTED
        assert lab.calls == 0
        row = lab.status()["accounts"][0]["quota"]
        assert (row["remaining"], 3500 < row["stopped_for"] < 3700) == (0, True)
        await pass_seconds(3700)
        assert lab.calls == 1

    in_lab(before, FRONT, store=store, clock=clock, daily_quota=500)
    in_lab(after, FRONT, store=store, clock=clock, daily_quota=500)


def test_who_waits_longer_than_the_stop_gets_the_ticket() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(quota(20))
        held = await lab.get(wait_seconds=60)
        assert held.generation
        assert 20 <= lab.now < 25

    in_lab(scenario, a_door("front", "on-demand"))


def test_the_next_attempt_that_is_told_is_not_before_the_quota_allows_one() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(quota(600))
        await lab.settle()
        row = lab.status()["tickets"][0]
        assert row["code"] == "quota_exhausted"
        assert 590 <= row["next_renewal_in"] <= 600

    in_lab(scenario, FRONT)


# our own count


def test_prefetch_stops_before_the_reserve_and_a_request_may_use_it() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(6 * 3600)
        assert lab.calls == 20
        assert lab.recorder.of("quota.reserve_reached")
        assert lab.door(0).ref.usable(lab.timekeeper.now()) is None
        for expected in range(21, 31):
            await lab.get()
            assert lab.calls == expected
            await pass_seconds(301)
        error = await lab.refused()
        assert error.code is Code.QUOTA_EXHAUSTED
        assert lab.calls == 30

    in_lab(scenario, a_door("front", "adaptive"), daily_quota=30, quota_reserve=10)


def test_restarts_spend_nothing_and_forget_no_call() -> None:
    store, clock = NoDisk(), VirtualClock(START)
    made = []

    async def life(lab: Lab) -> None:
        await pass_seconds(100)
        made.append(lab.calls)

    for _ in range(20):
        in_lab(life, FRONT, store=store, clock=clock, daily_quota=500)

    async def last(lab: Lab) -> None:
        assert lab.status()["accounts"][0]["quota"]["used"] == sum(made)

    in_lab(last, FRONT, store=store, clock=clock, daily_quota=500)
    assert sum(made) <= 20 * 100 / 200 + 1


def test_a_call_is_on_disk_before_it_is_made() -> None:
    on_disk: list[bool] = []

    async def scenario(lab: Lab) -> None:
        lab.cloud.on_call = lambda: on_disk.append(b'"calls":[[0,1]]' in lab.store.documents["tickets-home"])
        await lab.settle()
        assert on_disk == [True]

    in_lab(scenario, FRONT, daily_quota=500)


def test_that_only_the_reserve_is_left_is_told_once_however_often_a_call_leaves_the_window() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(3 * 86_400)
        assert lab.calls > 200
        assert len(lab.recorder.of("quota.reserve_reached")) == 1

    in_lab(scenario, FRONT, daily_quota=100, quota_reserve=20)


# what the account does together


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RateLimited("429", service=ISSUER, status=429, retry_after_seconds=57), Code.RATE_LIMITED),
        (UserActionRequired("469", service=ISSUER, status=469), Code.USER_ACTION_REQUIRED),
        (UpstreamRejected("401 subscription key", service=ISSUER, status=401), Code.CONFIG_ERROR),
        (UpstreamRejected("403", service=ISSUER, status=403), Code.CONFIG_ERROR),
        (UpstreamUnavailable("503", service=ISSUER, status=503), Code.UPSTREAM_UNAVAILABLE),
    ],
    ids=str,
)
def test_what_is_the_accounts_is_met_once_and_told_to_all(error: UpstreamError, code: Code) -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(error)
        assert (await lab.refused(0)).code is code
        before = lab.clock.monotonic_seconds
        assert (await lab.refused(1)).code is code
        assert lab.clock.monotonic_seconds == before
        assert lab.calls == 1

    in_lab(scenario, a_door("front", "on-demand"), a_door("back", "on-demand"))


@pytest.mark.parametrize(
    "error",
    [
        GatewayOffline("404", service=ISSUER, status=404),
        UpstreamRejected("400", service=ISSUER, status=400),
        UpstreamUnavailable("486", service=ISSUER, status=486),
    ],
    ids=str,
)
def test_what_is_one_tickets_own_is_not_told_to_another(error: UpstreamError) -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(error)
        assert (await lab.refused(0)).code is error.code
        await lab.get(1)

    in_lab(scenario, a_door("front", "on-demand"), a_door("back", "on-demand"))


def spacing(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


@pytest.mark.parametrize(
    ("error", "most_in_an_hour", "least_gap"),
    [
        (RateLimited("429", service=ISSUER, status=429, retry_after_seconds=57), 64, 57),
        (UpstreamUnavailable("503", service=ISSUER, status=503), 40, 1),
        (GatewayOffline("404", service=ISSUER, status=404), 2 * 25, 0),
        (UserActionRequired("470", service=ISSUER, status=470), 9, 400),
        (UpstreamRejected("401 subscription key", service=ISSUER, status=401), 12, 140),
    ],
    ids=str,
)
def test_two_tickets_of_one_account_back_off_together(
    error: UpstreamError, most_in_an_hour: int, least_gap: float
) -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.always = error
        await pass_seconds(3600)
        assert 1 < lab.calls <= most_in_an_hour
        assert min(spacing([at for at, _, _ in lab.cloud.seen[1:]])) >= least_gap  # the first two knew nothing yet
        lab.cloud.always = None
        await pass_seconds(3600)
        await lab.get(0)
        await lab.get(1)

    in_lab(scenario, FRONT, BACK)


@pytest.mark.parametrize("status", [400, 406, 430])
def test_a_wrong_request_is_not_repeated_before_the_configuration_changes(status: int) -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(UpstreamRejected(str(status), service=ISSUER, status=status))
        await pass_seconds(3 * DAY)
        assert lab.calls == 1
        assert (await lab.refused()).code is Code.CONFIG_ERROR
        assert lab.calls == 1
        failure = lab.door(0).ref.failure
        assert failure is not None
        assert failure.next_attempt_in(lab.timekeeper.now()) > NEVER_SECONDS / 2
        reload(lab, timeout_seconds=20.0)
        await lab.settle()
        assert lab.calls == 2

    in_lab(scenario, FRONT)


def reload(lab: Lab, **api: Any) -> None:
    """A reload with other settings of the account."""
    account, config = lab.account, an_account(daily_quota=0, quota_reserve=0, **api)
    assert isinstance(config, AccountConfig)
    fleet.reconfigure(account, config, account.cloud, lab.around)
    fleet.set_tickets(account, lab.tickets, lab.around)
    lab.around.wake()


def test_a_key_that_the_operator_mended_is_tried_at_once_after_a_reload() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(UpstreamRejected("401 subscription key", service=ISSUER, status=401))
        await lab.settle()
        assert (await lab.refused()).code is Code.CONFIG_ERROR
        reload(lab, timeout_seconds=20.0)
        await lab.get()
        assert lab.calls == 2

    in_lab(scenario, FRONT)


# 401


def test_a_refused_token_is_refreshed_once_and_the_call_made_once_more() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(100)
        lab.cloud.outcomes.append(refused_token())
        await pass_seconds(120)
        assert lab.calls == 3
        assert len(lab.provider.seen) == 1
        assert lab.cloud.seen[1][2] != lab.cloud.seen[2][2], "the same token was sent again"
        await lab.get()

    in_lab(scenario, FRONT)


def test_a_token_refused_again_is_the_operators_and_retried_slowly_without_another_refresh() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.device_outcomes["front"] = deque([refused_token()] * 1000)
        await lab.settle()
        await lab.settle()
        assert (await lab.refused(0)).code is Code.CONFIG_ERROR
        assert (len(lab.cloud.of("front")), len(lab.provider.seen)) == (2, 1)
        await lab.get(1)
        await pass_seconds(1400)
        assert 2 < len(lab.cloud.of("front")) < 15
        assert len(lab.provider.seen) == 1

    in_lab(scenario, FRONT, BACK)


def test_many_tickets_that_are_refused_force_one_refresh_together() -> None:
    async def scenario(lab: Lab) -> None:
        for number in range(5):
            lab.cloud.device_outcomes[f"door-{number}"] = deque([refused_token()] * 10)
        await pass_seconds(60)
        assert len(lab.provider.seen) == 1
        assert lab.calls <= 10

    in_lab(scenario, *(a_door(f"door-{number}", "always") for number in range(5)))


def test_a_key_named_by_a_401_forces_no_refresh() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes.append(UpstreamRejected("401 subscription key", service=ISSUER, status=401))
        await lab.settle()
        assert lab.provider.seen == []

    in_lab(scenario, FRONT)


# the login


def test_without_a_login_no_call_is_made_and_with_one_it_is_made_at_once() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(600)
        assert (await lab.refused()).code is Code.LOGIN_REQUIRED
        assert lab.calls == 0
        identity = lab.account.identity
        await identity.finish_login(await identity.begin_login(), {"code": "good"})
        await lab.settle()
        assert lab.calls == 1

    in_lab(scenario, FRONT, login=False)


@pytest.mark.parametrize("trouble", ["token endpoint"])
def test_while_the_token_cannot_be_had_its_reason_is_told_and_the_ticket_comes_when_it_can(trouble: str) -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(1500)
        lab.provider.outcomes = deque([UpstreamUnavailable("503", service=trouble, status=503)] * 10_000)
        while lab.door(0).ref.usable(lab.timekeeper.now()) is not None:
            await pass_seconds(30)
        calls = lab.calls
        assert (await lab.refused()).code is Code.UPSTREAM_UNAVAILABLE
        assert lab.calls == calls
        lab.provider.outcomes.clear()
        await pass_seconds(301)
        await lab.get()

    in_lab(scenario, FRONT)


def test_prefetches_go_out_a_few_at_a_time() -> None:
    flying: list[int] = []

    async def scenario(lab: Lab) -> None:
        count: Callable[[], None] = lambda: flying.append(lab.account.calls.flying)  # noqa: E731
        for _ in range(40):
            await pass_seconds(0.1)
            count()
        assert max(flying) == 8 + 100 // 50
        await pass_seconds(5)
        assert lab.calls == 100

    in_lab(scenario, *(a_door(f"door-{number}", "always") for number in range(100)))
