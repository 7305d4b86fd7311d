from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.config import PublishConfig
from broker.drill.virtual import VirtualClock, pass_seconds
from broker.errors import (
    BrokerError,
    Code,
    GatewayOffline,
    RateLimited,
    ShortValidity,
    StoreUnavailable,
    UpstreamRejected,
    UpstreamUnavailable,
)
from broker.services.refreshable import Unchanged
from tests.benchmarks.planning.world import NoDisk, a_door
from tests.services.lab import START, Lab, in_lab

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ISSUER = "issuer"
DAY = 86_400.0


async def at_once(lab: Lab, request: Callable[[], Awaitable[Any]]) -> Any:
    """What a request brings without any time passing."""
    before = lab.clock.monotonic_seconds
    result = await request()
    assert lab.clock.monotonic_seconds == before, "it waited"
    return result


def test_a_valid_ticket_is_answered_at_once_while_its_renewal_hangs() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.settle()
        first = await at_once(lab, lab.get)
        lab.cloud.hangs.add("front")
        await pass_seconds(220)
        assert lab.calls == 2
        assert await at_once(lab, lab.get) is first
        assert lab.status()["tickets"][0]["state"] == "stale"

    in_lab(scenario)


def test_a_valid_ticket_is_answered_while_every_renewal_fails_and_refused_only_when_it_has_ended() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.settle()
        lab.cloud.always = UpstreamUnavailable("503", service=ISSUER, status=503)
        await pass_seconds(260)
        await at_once(lab, lab.get)
        await pass_seconds(60)
        error = await at_once(lab, lab.refused)
        assert error.code is Code.UPSTREAM_UNAVAILABLE
        assert error.retry_after_seconds is not None

    in_lab(scenario)


def test_identical_requests_share_one_call() -> None:
    async def scenario(lab: Lab) -> None:
        found = await asyncio.gather(*(lab.get() for _ in range(64)))
        assert len({held.generation for held in found}) == 1
        assert lab.calls == 1

    in_lab(scenario, a_door("front", "on-demand"))


def test_a_caller_who_leaves_does_not_stop_the_call_for_the_others() -> None:
    async def scenario(lab: Lab) -> None:
        leaving = asyncio.create_task(lab.get())  # noqa: TID251 - two callers
        staying = asyncio.create_task(lab.get())  # noqa: TID251
        await pass_seconds(0.1)
        leaving.cancel()
        assert (await staying).generation
        assert lab.calls == 1

    in_lab(scenario, a_door("front", "on-demand"))


def test_a_slow_call_delays_nobody_who_can_be_served() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.hangs.add("slow")
        waiting = asyncio.create_task(lab.get(0))  # noqa: TID251 - the one who waits
        await lab.settle()
        await lab.get(1)
        await at_once(lab, lambda: lab.get(1))
        assert not waiting.done()
        lab.cloud.go_on.set()
        await waiting

    in_lab(scenario, a_door("slow", "on-demand"), a_door("quick", "on-demand"))


def test_a_restart_makes_no_call_while_the_ticket_is_valid() -> None:
    store, clock = NoDisk(), VirtualClock(START)

    async def before(lab: Lab) -> None:
        await lab.settle()
        assert lab.calls == 1

    async def after(lab: Lab) -> None:
        await at_once(lab, lab.get)
        await pass_seconds(150)
        assert lab.calls == 0

    in_lab(before, store=store, clock=clock)
    in_lab(after, store=store, clock=clock)


def test_a_ticket_of_another_door_is_not_taken_over() -> None:
    store, clock = NoDisk(), VirtualClock(START)

    async def before(lab: Lab) -> None:
        await lab.settle()

    async def after(lab: Lab) -> None:
        await lab.settle()
        assert [device for _, device, _ in lab.cloud.seen] == ["other"]

    in_lab(before, store=store, clock=clock)
    in_lab(after, replace(a_door("front", "always"), device_id="other"), store=store, clock=clock)


# min_validity


def test_more_than_the_whole_life_is_refused_at_once_without_a_call() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        error = await at_once(lab, lambda: lab.refused(min_validity_seconds=301))
        assert isinstance(error, ShortValidity)
        assert 298 < error.available_for_seconds <= 300
        await pass_seconds(400)
        error = await at_once(lab, lambda: lab.refused(min_validity_seconds=301))
        assert isinstance(error, ShortValidity)
        assert error.available_for_seconds == 0
        assert lab.calls == 1

    in_lab(scenario, a_door("front", "on-demand"))


def test_more_than_is_left_is_met_by_a_renewal_within_the_wait() -> None:
    async def scenario(lab: Lab) -> None:
        first = await lab.get()
        await pass_seconds(60)
        second = await lab.get(min_validity_seconds=280, wait_seconds=10)
        assert second.generation > first.generation
        assert lab.calls == 2

    in_lab(scenario, a_door("front", "on-demand"))


def test_more_than_a_new_ticket_has_is_short_validity_once_it_came() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        lab.cloud.life_seconds = 200
        await pass_seconds(150)
        before = lab.now
        error = await lab.refused(min_validity_seconds=250, wait_seconds=60)
        assert isinstance(error, ShortValidity)
        assert lab.now - before < 2, "it waited though nothing better can come"
        assert lab.calls == 2

    in_lab(scenario, a_door("front", "on-demand"))


def test_the_configured_least_validity_is_at_most_a_tenth_of_the_life() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        await pass_seconds(300 - 30 - 1)
        await at_once(lab, lambda: lab.get(wait_seconds=0))
        lab.cloud.hangs.add("front")
        await pass_seconds(2)
        assert lab.door(0).ref.usable(lab.timekeeper.now()) is None

    in_lab(scenario, a_door("front", "on-demand", min_validity_seconds=100))


# If-None-Match and wait


def test_who_has_the_newest_waits_for_the_next_and_makes_no_call() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        with pytest.raises(Unchanged):
            await at_once(lab, lambda: lab.get(newer_than=held.generation))
        before = lab.now
        with pytest.raises(Unchanged):
            await lab.get(newer_than=held.generation, wait_seconds=240)
        assert round(lab.now - before) == 240
        assert lab.calls == 1

    in_lab(scenario, a_door("front", "on-demand"))


def test_who_waits_for_a_newer_one_gets_the_renewal() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        newer = await lab.get(newer_than=held.generation, wait_seconds=300)
        assert newer.generation > held.generation
        assert lab.calls == 2

    in_lab(scenario)


def test_a_wait_ends_with_the_attempt_that_succeeds() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.outcomes = deque([UpstreamUnavailable("503", service=ISSUER, status=503)] * 3)
        held = await lab.get(wait_seconds=120)
        assert held.generation
        assert lab.now < 60
        assert lab.calls == 4

    in_lab(scenario, a_door("front", "on-demand"))


def test_a_wait_ends_early_for_what_only_the_operator_can_mend() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.always = UpstreamRejected("400", service=ISSUER, status=400)
        error = await lab.refused(wait_seconds=200)
        assert error.code is Code.CONFIG_ERROR
        assert lab.now < 2

    in_lab(scenario, a_door("front", "on-demand"))


def test_at_the_end_of_a_wait_the_problem_is_the_underlying_one() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.always = GatewayOffline("404", service=ISSUER, status=404)
        error = await lab.refused(wait_seconds=20)
        assert error.code is Code.GATEWAY_OFFLINE
        assert round(lab.now) == 20

    in_lab(scenario, a_door("front", "on-demand"))


# on-demand and adaptive


def test_an_on_demand_ticket_that_nobody_asks_for_costs_nothing_and_has_no_code() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(DAY)
        row = lab.status()["tickets"][0]
        assert (lab.calls, row["state"], row["code"]) == (0, "unavailable", None)
        assert lab.desk.readiness()[0]

    in_lab(scenario, a_door("front", "on-demand"))


def test_an_on_demand_ticket_is_renewed_behind_only_while_somebody_asks() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        for _ in range(20):
            await pass_seconds(60)
            await at_once(lab, lab.get)
        await lab.settle()
        assert 5 <= lab.calls <= 7
        calls = lab.calls
        await pass_seconds(DAY)
        assert lab.calls == calls

    in_lab(scenario, a_door("front", "on-demand"))


def test_an_adaptive_ticket_stays_warm_through_a_burst_after_silence() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(2 * 3600)
        await lab.get(0)
        for _ in range(3):
            await pass_seconds(280)
            await at_once(lab, lambda: lab.get(0))

    in_lab(scenario, *(a_door(f"door-{n}", "adaptive") for n in range(12)), daily_quota=500)


@pytest.mark.slow
def test_what_an_adaptive_ticket_learnt_survives_a_restart_and_is_shown() -> None:
    store, clock = NoDisk(), VirtualClock(START)

    async def before(lab: Lab) -> None:
        for _ in range(14):
            await lab.get()
            await pass_seconds(DAY)

    async def after(lab: Lab) -> None:
        demand = lab.status()["tickets"][0]["plan"]["demand"]
        assert demand["busiest"][0]["hour"].endswith("12:00")
        assert demand["last_request"] == int(START + 13 * DAY)

    in_lab(before, a_door("front", "adaptive"), store=store, clock=clock)
    in_lab(after, a_door("front", "adaptive"), store=store, clock=clock)


@pytest.mark.slow
def test_with_a_small_quota_an_adaptive_ticket_is_warm_in_the_hours_in_which_it_is_asked_for() -> None:
    found: dict[float, list[bool]] = {3.5: [], 8.0: [], 13.0: [], 19.0: []}

    async def scenario(lab: Lab) -> None:
        midnight = START + DAY / 2
        for day in range(14):
            for hour, warm in found.items():
                await lab.until(midnight + day * DAY + hour * 3600 + 60 * (1 + day % 7))
                warm.append(lab.door(0).ref.usable(lab.timekeeper.now()) is not None)
                if hour in {8.0, 19.0}:
                    await lab.get(0)
                    await lab.get(1)
        assert found[8.0][7:] == found[19.0][7:] == [True] * 7
        assert found[3.5][7:] == found[13.0][7:] == [False] * 7
        assert lab.cloud.most <= 160

    in_lab(scenario, a_door("front", "adaptive"), a_door("back", "adaptive"), daily_quota=200, quota_reserve=50)


# "this one was refused by the door"


def test_a_newer_one_than_the_refused_is_handed_out_without_a_call() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        assert await at_once(lab, lambda: lab.door(0).renew(held.generation - 1)) is held
        assert lab.calls == 1

    in_lab(scenario, a_door("front", "on-demand"))


def test_the_refused_one_is_fetched_anew_once_for_all_who_say_so() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        found = await asyncio.gather(*(lab.door(0).renew(held.generation) for _ in range(10)))
        assert {each.generation > held.generation for each in found} == {True}
        assert lab.calls == 2

    in_lab(scenario, a_door("front", "on-demand"))


def test_refusals_are_limited() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        for _ in range(3):
            held = await lab.door(0).renew(held.generation)
        with pytest.raises(RateLimited) as limited:
            await lab.door(0).renew(held.generation)
        assert limited.value.retry_after_seconds is not None
        await pass_seconds(limited.value.retry_after_seconds)
        await lab.door(0).renew(held.generation)

    in_lab(scenario, a_door("front", "on-demand"))


def test_a_renewal_that_fails_says_why_and_leaves_the_ticket_to_the_others() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        lab.cloud.always = GatewayOffline("404", service=ISSUER, status=404)
        with pytest.raises(BrokerError) as failed:
            await lab.door(0).renew(held.generation)
        assert failed.value.code is Code.GATEWAY_OFFLINE
        assert await at_once(lab, lab.get) is held

    in_lab(scenario, a_door("front", "on-demand"))


# lives


def test_an_opaque_ticket_lives_as_long_as_the_configuration_assumes() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.opaque = True
        held = await lab.get()
        assert held.life.span.seconds == 120
        await pass_seconds(DAY)
        assert lab.calls == pytest.approx(DAY / 80, rel=0.1)

    in_lab(scenario, a_door("front", "always", assumed_lifetime_seconds=120))


def test_a_life_that_changes_changes_the_plan() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.settle()
        assert lab.account.planner.words.startswith("432 calls a day needed, 450 allowed")
        lab.cloud.life_seconds = 100
        await pass_seconds(300)
        assert lab.account.planner.words.startswith("1296 calls a day needed, 450 allowed")
        assert lab.recorder.of("plan.changed")
        assert lab.status()["accounts"][0]["plan"]["allowed"] == 450

    in_lab(scenario, daily_quota=500)


def test_a_ticket_that_has_expired_when_it_comes_is_no_ticket() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.life_seconds = 0
        error = await lab.refused()
        assert error.code is Code.INVALID_RESPONSE

    in_lab(scenario, a_door("front", "on-demand"))


# published files


def published(warm: str) -> Any:
    return a_door("front", warm, publish=PublishConfig(Path("/run/front.jwt")))


def test_a_published_file_follows_the_ticket_and_goes_with_its_validity() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        await lab.settle()
        assert lab.publisher.files == {"front": held.ticket.reveal()}
        await pass_seconds(265)
        assert lab.publisher.files
        await pass_seconds(10)
        assert not lab.publisher.files

    in_lab(scenario, published("on-demand"))


def test_a_start_publishes_what_is_still_valid() -> None:
    store, clock = NoDisk(), VirtualClock(START)

    async def before(lab: Lab) -> None:
        await lab.get()

    async def after(lab: Lab) -> None:
        await lab.settle()
        assert list(lab.publisher.files) == ["front"]
        assert lab.calls == 0

    in_lab(before, published("always"), store=store, clock=clock)
    in_lab(after, published("always"), store=store, clock=clock)


def test_a_logout_drops_ticket_and_file() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        await lab.desk.logout("home")
        assert not lab.publisher.files
        assert (await at_once(lab, lab.refused)).code is Code.LOGIN_REQUIRED
        assert b"ticket 1 for front" not in lab.store.documents["tickets-home"]

    in_lab(scenario, published("always"))


def test_a_ticket_that_comes_after_the_logout_is_not_kept() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.hangs.add("front")
        await pass_seconds(1)
        await lab.desk.logout("home")
        lab.cloud.go_on.set()
        await lab.settle()
        assert lab.door(0).page.held == ()
        assert not lab.publisher.files

    in_lab(scenario, published("always"))


def test_a_file_that_cannot_be_replaced_goes_and_comes_back_with_the_disk() -> None:
    async def scenario(lab: Lab) -> None:
        first = await lab.get()
        await lab.settle()
        assert lab.publisher.files == {"front": first.ticket.reveal()}
        lab.publisher.refuse = StoreUnavailable("disk full")
        await pass_seconds(250)
        assert (await lab.get()).generation > first.generation
        assert not lab.publisher.files, "the file of a ticket that was replaced stays"
        assert len(lab.recorder.of("publish.failed")) == 1
        lab.publisher.refuse = None
        await pass_seconds(6)
        assert lab.publisher.files == {"front": (await lab.get()).ticket.reveal()}

    in_lab(scenario, published("always"))


def test_a_file_that_cannot_be_withdrawn_stops_nobody_and_goes_when_the_disk_lets_it() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        lab.publisher.keep = StoreUnavailable("read-only")
        await lab.desk.logout("home")
        assert b"ticket 1 for front" not in lab.store.documents["tickets-home"]
        assert lab.publisher.files
        assert len(lab.recorder.of("publish.failed")) == 1
        lab.publisher.keep = None
        await pass_seconds(6)
        assert not lab.publisher.files

    in_lab(scenario, published("always"))


# a reload


def test_a_reload_keeps_the_ticket_and_one_of_another_device_is_dropped() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        lab.rearrange(a_door("front", "always", min_validity_seconds=20))
        assert await at_once(lab, lab.get) is held
        lab.rearrange(replace(a_door("front", "always"), device_id="other"))
        await lab.settle()
        assert (await lab.get()).generation > held.generation
        assert lab.calls == 2

    in_lab(scenario)


@pytest.mark.parametrize("door", ["the same", "another"])
def test_restarts_tell_no_second_time_that_there_is_no_ticket_and_the_recovery_after_them_is_told(door: str) -> None:
    store, clock = NoDisk(), VirtualClock(START)
    offline = GatewayOffline("issuer answered 404", service="issuer", status=404)
    mended = a_door("front", "always") if door == "the same" else replace(a_door("front", "always"), device_id="other")
    told: list[str] = []

    async def trouble(lab: Lab) -> None:
        lab.cloud.always = offline
        await pass_seconds(600)
        told.extend(lab.recorder.names)

    async def recovery(lab: Lab) -> None:
        await pass_seconds(1000)
        told.extend(lab.recorder.names)

    for _ in range(3):
        in_lab(trouble, store=store, clock=clock)
    in_lab(recovery, mended, store=store, clock=clock)
    in_lab(recovery, mended, store=store, clock=clock)
    assert [name for name in told if name in {"ticket.unavailable", "ticket.recovered"}] == [
        "ticket.unavailable",
        "ticket.recovered",
    ]
