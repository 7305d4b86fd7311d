"""The call-in operation: what is sent, letter by letter, and the round trip with the stand-in cloud."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from broker.adapters.issuer import CallInIssuer
from broker.adapters.transport import Network, Transport
from broker.core.secret import Secret
from broker.errors import GatewayOffline, QuotaExhausted, TokenRefused, UpstreamRejected, UpstreamUnavailable
from broker.sandbox import credentials
from broker.sandbox.cloud import Cloud
from broker.sandbox.weather import Fault
from tests.adapters.accounts import API, reference
from tests.adapters.clocks import NOW, HandClock
from tests.adapters.raw_server import http, raw_server

BODY = json.dumps({"audiovideounits": [{"ticket": "t"}]}).encode()


@pytest.mark.parametrize(("scheme", "sent"), [("", "abc.def.ghi"), ("Bearer", "Bearer abc.def.ghi")])
async def test_exactly_what_the_page_asks_for_is_sent(scheme: str, sent: str) -> None:
    async with raw_server(http("200 OK", BODY, "Content-Type: application/json")) as server:
        api = replace(API, base_url=f"http://127.0.0.1:{server.port}/vdeproducts/v1.0/", scheme=scheme)  # type: ignore[arg-type]
        issuer = CallInIssuer(api, Transport(Network(HandClock(), environ={})))
        issued = await issuer.issue("a/b?c", "d e%", Secret("abc.def.ghi"))
        await issuer.close()
    assert issued.ticket.reveal() == "t"
    line, *lines = server.requests[0].decode().split("\r\n")
    assert line == (
        "GET /vdeproducts/v1.0/audiovideounit/videodoorentry/addressLocation"
        "/plants/a%2Fb%3Fc/modules/parameter/id/value/d%20e%25/callIn HTTP/1.1"
    )
    headers = dict(text.split(": ", 1) for text in lines if text)
    assert headers["Ocp-Apim-Subscription-Key"] == credentials.SUBSCRIPTION_KEY
    assert headers["Authorization"] == sent
    assert headers["Accept"] == "application/json"
    assert "Content-Length" not in headers


async def test_a_broken_connection_is_not_tried_again() -> None:
    async with raw_server(b"") as server:
        api = replace(API, base_url=f"http://127.0.0.1:{server.port}")
        issuer = CallInIssuer(api, Transport(Network(HandClock(), environ={})))
        with pytest.raises(UpstreamUnavailable, match="issuer broke off"):
            await issuer.issue("p", "d", Secret("t"))
        await issuer.close()
    assert len(server.requests) == 1


async def test_a_hung_call_ends_at_its_timeout() -> None:
    async with raw_server(b"", hang=True) as server:
        api = replace(API, base_url=f"http://127.0.0.1:{server.port}", timeout_seconds=0.2)
        issuer = CallInIssuer(api, Transport(Network(HandClock(), environ={})))
        with pytest.raises(UpstreamUnavailable, match="within"):
            await issuer.issue("p", "d", Secret("t"))
        await issuer.close()


async def test_a_secret_with_a_line_break_is_the_operators_and_is_not_told() -> None:
    api = replace(API, subscription_key=reference("hunter2\nX: y"))
    issuer = CallInIssuer(api, Transport(Network(HandClock(), environ={})))
    with pytest.raises(UpstreamRejected, match="Ocp-Apim-Subscription-Key has a control character") as caught:
        await issuer.issue("p", "d", Secret("t"))
    assert "hunter2" not in repr(caught.value)
    await issuer.close()


async def test_the_cloud_gives_tickets_and_reasons_over_tls() -> None:
    async with Cloud(now=lambda: NOW) as cloud:
        api = replace(API, base_url=cloud.api_base_url)
        issuer = CallInIssuer(api, Transport(Network(HandClock(), ca_file=cloud.ca_file, environ={})))
        with pytest.raises(UpstreamRejected) as caught:
            await issuer.issue(credentials.PLANT_ID, credentials.DEVICE_ID, Secret("not.a.token"))
        assert isinstance(caught.value, TokenRefused)
        cloud.script.add("call_in", Fault(200, BODY, {"Content-Type": "application/json"}))
        issued = await issuer.issue(credentials.PLANT_ID, credentials.DEVICE_ID, Secret("x"))
        assert (issued.ticket.reveal(), issued.expires_at) == ("t", None)
        cloud.script.add("call_in", Fault(404))
        with pytest.raises(GatewayOffline):
            await issuer.issue(credentials.PLANT_ID, credentials.DEVICE_ID, Secret("x"))
        message = json.dumps({"statusCode": 403, "message": "Out of call volume quota. Replenished in 00:00:09."})
        cloud.script.add("call_in", Fault(403, message, {"Content-Type": "application/json"}))
        with pytest.raises(QuotaExhausted) as quota:
            await issuer.issue(credentials.PLANT_ID, credentials.DEVICE_ID, Secret("x"))
        assert quota.value.retry_after_seconds == 9
        assert cloud.calls.count("call_in") == 4
        await issuer.close()
