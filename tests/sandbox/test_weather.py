from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, get_args

import aiohttp
import pytest

from broker.sandbox import CAPTIVE_PORTAL, Cloud, Fault, api_fault, token_fault
from broker.sandbox.weather import Phase

if TYPE_CHECKING:
    from broker.sandbox.calls import Call
    from tests.sandbox.conftest import Visitor

PHASES: tuple[Phase, ...] = get_args(Phase)


async def test_a_fault_is_used_up_by_as_many_requests_as_it_was_queued_for(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", Fault(502), times=2)
    cloud.script.add("token", token_fault("AADB2C90085"))
    answers = [await visitor.refresh(token) for _ in range(4)]
    assert [answer.status for answer in answers] == [502, 502, 400, 200]
    assert answers[2].document["error_description"].startswith("AADB2C90085: ")
    assert cloud.script.pending("token") == 0


async def test_a_fault_without_end_holds_until_cleared_and_spares_other_endpoints(
    cloud: Cloud, visitor: Visitor
) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", Fault(503), times=None)
    assert [(await visitor.refresh(token)).status for _ in range(3)] == [503] * 3
    assert cloud.script.pending("token") is None
    assert (await visitor.get(f"{cloud.b2c_authority()}/discovery/v2.0/keys")).status == 200
    cloud.script.clear("token")
    assert (await visitor.refresh(token)).status == 200


async def test_a_fault_does_no_work_unless_it_commits(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.rotation = "strict"
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", Fault(502))
    assert (await visitor.refresh(token)).status == 502
    newer = (await visitor.refresh(token)).document["refresh_token"]
    cloud.script.add("token", Fault(502, commits=True))
    assert (await visitor.refresh(newer)).status == 502
    assert (await visitor.refresh(newer)).status == 400


async def test_a_captive_portal_answers_html_with_200_and_a_proxy_adds_headers(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", CAPTIVE_PORTAL)
    portal = await visitor.refresh(token)
    assert (portal.status, portal.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    cloud.script.add("token", Fault(headers={"Age": "30", "Date": "Thu, 01 Jan 1970 00:00:00 GMT"}))
    aged = await visitor.refresh(token)
    assert (aged.status, aged.headers["Age"], aged.headers["Date"][:16]) == (200, "30", "Thu, 01 Jan 1970")


async def test_a_delay_passes_before_the_answer(cloud: Cloud, visitor: Visitor) -> None:
    cloud.script.add("keys", Fault(delay_seconds=0.05))
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await visitor.get(f"{cloud.b2c_authority()}/discovery/v2.0/keys")).status == 200
    assert loop.time() - began >= 0.05


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "after_answer"])
async def test_a_connection_can_be_reset_at_each_phase(cloud: Cloud, visitor: Visitor, phase: Phase) -> None:
    cloud.options.rotation = "strict"
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", Fault(reset=phase))
    with pytest.raises(aiohttp.ClientError):
        await visitor.refresh(token)
    assert cloud.calls.of("token")[-1].status == 0
    committed = phase in ("after_commit", "mid_answer")
    assert (await visitor.refresh(token)).status == (400 if committed else 200)


@pytest.mark.parametrize("phase", PHASES[:4])
async def test_a_hung_request_goes_on_when_released(cloud: Cloud, visitor: Visitor, phase: Phase) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", Fault(hang=phase))
    reached = asyncio.Event()
    cloud.script.on(phase, lambda _call: reached.set())
    async with asyncio.TaskGroup() as group:
        hung = group.create_task(visitor.refresh(token))
        await reached.wait()
        assert not hung.done()
        cloud.script.release()
    assert hung.result().status == 200


async def test_a_cloud_stops_at_once_although_requests_hang() -> None:
    async with Cloud() as cloud:
        cloud.script.add("keys", Fault(hang="before_commit"))
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(cloud.ca_file)))
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            hung = group.create_task(_failure(session, f"{cloud.oidc_authority}/keys"))
            await cloud.calls.arrived("keys")
            cloud.script.stop()
    assert isinstance(hung.result(), aiohttp.ClientError)


async def _failure(session: aiohttp.ClientSession, url: str) -> Exception | None:
    try:
        async with session.get(url):
            return None
    except aiohttp.ClientError as error:
        return error


async def test_hooks_are_called_at_their_phase_in_order_once(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    seen: list[tuple[Phase, bool, int | None]] = []

    def hook(phase: Phase) -> None:
        def note(call: Call) -> None:
            seen.append((phase, call.new_refresh_token is not None, call.status))

        cloud.script.on(phase, note)

    for phase in reversed(PHASES):
        hook(phase)
    await visitor.refresh(token)
    await visitor.refresh(token)
    assert seen == [
        ("before_reading", False, None),
        ("before_commit", False, None),
        ("after_commit", True, None),
        ("mid_answer", True, None),
        ("after_answer", True, 200),
    ]


async def test_at_mid_answer_half_of_the_body_is_out(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    cloud.script.add("token", Fault(reset="mid_answer"))
    form = {"grant_type": "refresh_token", "refresh_token": token}
    async with visitor.session.post(f"{cloud.b2c_authority()}/oauth2/v2.0/token", data=form) as answer:
        assert (await answer.content.readany()).startswith(b"{")
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


async def test_a_429_on_the_token_endpoint_is_what_it_is_on_the_api(cloud: Cloud, visitor: Visitor) -> None:
    cloud.script.add("token", api_fault("rate_limit"))
    answer = await visitor.refresh("any")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "57")
