from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import SCENARIOS, Cloud, credentials
from broker.sandbox.changes import apply_change
from broker.sandbox.scenarios import Scenario, Step

if TYPE_CHECKING:
    from tests.sandbox.conftest import Visitor


async def test_another_process_can_turn_options_and_queue_faults(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["id_token"]
    assert (await visitor.control("options", {"ticket_seconds": 7})).status == 200
    assert cloud.options.ticket_seconds == 7
    await visitor.control("faults", {"endpoint": "call_in", "error": "quota", "times": 2})
    await visitor.control("faults", {"endpoint": "call_in", "fault": {"status": 503}})
    assert [(await visitor.call_in(token)).status for _ in range(4)] == [403, 403, 503, 200]
    await visitor.control("faults", {"endpoint": "token", "error": "AADB2C90080"})
    assert "AADB2C90080" in (await visitor.refresh("any")).body
    await visitor.control("faults", {"endpoint": "call_in", "error": "captive_portal", "times": None})
    await visitor.control("clear", {})
    assert (await visitor.call_in(token)).status == 200


async def test_another_process_can_revoke_expire_rotate_and_exhaust(cloud: Cloud, visitor: Visitor) -> None:
    tokens = await visitor.partner_login()
    await visitor.control("quota", {"left_seconds": 60})
    assert (await visitor.call_in(tokens["id_token"])).status == 403
    await visitor.control("revoke", {"user": credentials.USER})
    assert "90129" in (await visitor.refresh(tokens["refresh_token"])).body
    await visitor.control("keys", {"keep_old": True})
    assert len((await visitor.get(f"{cloud.oidc_authority}/keys")).document["keys"]) == 2


@pytest.mark.parametrize(
    ("action", "document"),
    [
        ("options", {"no_such": 1}),
        ("applications", {"no_such": 1}),
        ("faults", {"endpoint": "nowhere", "error": "quota"}),
        ("faults", {"endpoint": "token", "error": "nothing"}),
        ("scenario", {"name": "sunshine"}),
        ("explode", {}),
    ],
)
async def test_what_does_not_exist_is_refused(visitor: Visitor, action: str, document: dict[str, object]) -> None:
    answer = await visitor.control(action, document)
    assert (answer.status, list(answer.document)) == (400, ["error"])


async def test_the_call_log_can_be_read_without_secrets(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["id_token"]
    await visitor.call_in(token)
    answer = await visitor.get(f"{cloud.origin}/__sandbox/calls")
    assert [call["endpoint"] for call in answer.document] == ["authorize", "token", "call_in"]
    assert answer.document[-1]["device_id"] == credentials.DEVICE_ID
    assert token not in answer.body


async def test_a_web_page_may_not_use_the_control(cloud: Cloud, visitor: Visitor) -> None:
    answer = await visitor.get(f"{cloud.origin}/__sandbox/calls", {"Origin": "https://example.com"})
    assert answer.status == 403


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
async def test_every_step_of_every_scenario_can_be_done(cloud: Cloud, scenario: Scenario) -> None:
    assert scenario.plays
    assert [step.at_seconds for step in scenario.steps] == sorted(step.at_seconds for step in scenario.steps)
    for step in scenario.steps:
        apply_change(cloud, step.action, step.values)


async def test_a_scenario_plays_its_first_steps_at_once_and_others_later(cloud: Cloud, visitor: Visitor) -> None:
    cloud.play(Scenario("test", "…", (Step(0, "options", {"ticket_seconds": 20}), Step(0.02, "keys", {}))))
    await asyncio.to_thread(lambda: None)
    assert cloud.options.ticket_seconds == 20
    for _ in range(100):
        if len((await visitor.get(f"{cloud.oidc_authority}/keys")).document["keys"]) == 2:
            return
    pytest.fail("the later step was not played")


async def test_an_outage_reaches_every_endpoint(cloud: Cloud, visitor: Visitor) -> None:
    apply_change(cloud, "weather", {"error": "unavailable"})
    assert (await visitor.get(f"{cloud.oidc_authority}/keys")).status == 503
    assert (await visitor.call_in("any")).status == 503
    assert (await visitor.refresh("any")).status == 503
