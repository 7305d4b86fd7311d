from __future__ import annotations

import re

import pytest

from broker.drill.virtual import pass_seconds
from broker.errors import GatewayOffline
from tests.benchmarks.planning.world import a_door
from tests.services.lab import Lab, in_lab


def test_the_plan_says_how_many_calls_are_needed_and_allowed_and_what_that_means() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(300)
        plan = lab.status()["accounts"][0]["plan"]
        assert (plan["needed"], plan["allowed"], plan["planned"]) == (864, 450, 450)
        assert plan["words"].startswith("864 calls a day needed, 450 allowed; ")
        assert "69 % of the day" in plan["words"]

    in_lab(scenario, a_door("front", "always"), a_door("back", "always"), daily_quota=500)


def test_with_room_the_plan_says_a_third_and_without_a_limit_that_there_is_none() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.settle()
        words = "432 calls a day needed, no limit; kept warm always, renewed with a third of the life left"
        assert lab.status()["tickets"][0]["plan"]["words"] == words

    in_lab(scenario)


@pytest.mark.parametrize(
    ("warm", "words"),
    [
        ("on-demand", "fetched when asked for, kept until it expires, renewed behind only while somebody asks"),
        ("adaptive", "adaptive: kept warm now, for somebody is likely to ask"),
    ],
)
def test_each_ticket_says_what_keeps_it_warm(warm: str, words: str) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        plan = lab.status()["tickets"][0]["plan"]
        assert plan["words"] == words
        assert plan["life_seconds"] == 300

    in_lab(scenario, a_door("front", warm), daily_quota=500)


@pytest.mark.slow
def test_what_was_learnt_is_shown_by_the_hours_of_the_week() -> None:
    async def scenario(lab: Lab) -> None:
        for _ in range(7):
            await lab.get()
            await pass_seconds(86_400)
        demand = lab.status()["tickets"][0]["plan"]["demand"]
        assert len(demand["busiest"]) == 8
        assert {row["hour"][-5:] for row in demand["busiest"][:7]} == {"12:00"}

    in_lab(scenario, a_door("front", "adaptive"), daily_quota=500)


def test_the_quota_says_what_is_left_and_when_the_next_call_may_be_made() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(3000)
        row = lab.status()["accounts"][0]["quota"]
        assert (row["limit"], row["used"], row["remaining"], row["reserve"]) == (12, 10, 2, 2)
        assert row["next_call_in"] == 0
        assert row["next_prefetch_in"] > 80_000

    in_lab(scenario, a_door("front", "adaptive"), daily_quota=12, quota_reserve=2)


def test_a_ticket_is_fresh_then_stale_while_it_is_renewed_then_unavailable() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.settle()
        states = [lab.status()["tickets"][0]["state"]]
        lab.cloud.hangs.add("front")
        for seconds in (210, 90):
            await pass_seconds(seconds)
            states.append(lab.status()["tickets"][0]["state"])
        assert states == ["fresh", "stale", "unavailable"]

    in_lab(scenario)


def test_a_failure_says_what_went_wrong_how_often_and_when_it_is_tried_again() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.always = GatewayOffline("issuer answered 404", service="issuer", status=404)
        await pass_seconds(3)
        row = lab.status()["tickets"][0]
        assert (row["state"], row["code"], row["remedy"]) == ("unavailable", "gateway_offline", "retry")
        assert row["last_failure"]["count"] == 1
        assert 0 < row["last_failure"]["next_attempt_in"] <= 30
        assert row["next_renewal_in"] == row["last_failure"]["next_attempt_in"]

    in_lab(scenario)


def test_the_status_and_the_metrics_carry_no_ticket() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        told = str(lab.status()) + lab.desk.metrics() + str(lab.desk.tickets())
        assert not re.search(r"ticket \d+ for|id mario|rt-\d", told)

    in_lab(scenario)
