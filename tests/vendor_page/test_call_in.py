"""The issuer client against parties that know only the vendor's page: Prism makes a mock of it and judges the sandbox.

Prism (npm) refuses with 400 or 401 a request that the page does not describe: a ticket here means that ours is right.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.adapters.clock import SystemClock
from broker.adapters.issuer import CallInIssuer
from broker.adapters.providers import make_provider
from broker.adapters.transport import Network, Transport
from broker.config import CALL_IN_PATH, ApiConfig, SecretReference
from broker.core.redirect import parameters
from broker.core.secret import Secret
from broker.errors import (
    GatewayOffline,
    InvalidResponse,
    TokenRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from broker.sandbox import CloudThread, Options, credentials, follow_login
from tests.adapters.accounts import of_cloud
from tests.providers.houses import MODULES, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.core.callin import IssuedTicket
    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow
PAGE = Path(__file__).with_name("openapi.yaml")
PRISM = MODULES / "@stoplight" / "prism-cli" / "dist" / "index.js"
KEY = SecretReference("env", "TEST", Secret(credentials.SUBSCRIPTION_KEY))
DYNAMIC_ANSWERS = 40


def prism(*arguments: str, environ: dict[str, str] | None = None) -> tuple[subprocess.Popen[str], str]:
    """Prism, listening, and its base URL."""
    node = shutil.which("node")
    if node is None or not PRISM.exists():
        missing("npm's @stoplight/prism-cli")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [node or "", str(PRISM), *arguments, "--port", str(port), "--host", "127.0.0.1"],
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "is listening on" in line:
            return process, f"http://127.0.0.1:{port}"
    raise AssertionError("".join(said))


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=20)


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    process, url = prism("mock", str(PAGE))
    yield url
    end(process)


async def issue(api: ApiConfig, *, plant_id: str = credentials.PLANT_ID, token: str = "id-token") -> IssuedTicket:
    issuer = CallInIssuer(api, Transport(Network(SystemClock(), environ={})))
    try:
        return await issuer.issue(plant_id, credentials.DEVICE_ID, Secret(token))
    finally:
        await issuer.close()


def asking(url: str, query: str = "") -> ApiConfig:
    return ApiConfig(KEY, base_url=url, path=CALL_IN_PATH + query)


async def test_the_mock_of_the_page_takes_our_request_and_we_its_answer(mock: str) -> None:
    issued = await issue(asking(mock))
    assert issued.ticket == Secret("string"), "the page's own sample"
    assert issued.expires_at is None
    assert issued.sender["system"] == "videodoorentry"


async def test_the_mock_refuses_what_the_page_does_not_describe(mock: str) -> None:
    """So a ticket above proves something."""
    with pytest.raises(UpstreamRejected, match="400"):
        await issue(asking(mock), plant_id="no-uuid")
    with pytest.raises(UpstreamRejected) as caught:
        await issue(replace(asking(mock), subscription_key=SecretReference("env", "TEST", Secret(""))), token="")
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("status", "kind", "remedy"),
    [
        (400, UpstreamRejected, "fix"),
        (401, TokenRefused, "fix"),
        (404, GatewayOffline, "retry"),
        (408, UpstreamUnavailable, "retry"),
    ],
)
async def test_every_failure_on_the_page_has_its_class(mock: str, status: int, kind: type[Any], remedy: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await issue(asking(mock, f"?__code={status}"))
    assert (type(caught.value), caught.value.status, caught.value.remedy) == (kind, status, remedy)


async def test_whatever_the_pages_schema_allows_is_a_ticket_or_no_ticket(mock: str) -> None:
    """The schema names nothing as required: lists may be empty, tickets and senders may be missing."""
    tickets = 0
    for _ in range(DYNAMIC_ANSWERS):
        try:
            tickets += bool((await issue(asking(mock, "?__dynamic=true"))).ticket.reveal())
        except InvalidResponse as error:
            if "no ticket" not in error.message:
                raise
    assert 0 < tickets < DYNAMIC_ANSWERS, "both were met"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with CloudThread(Options()) as started:
        yield started


async def test_the_sandbox_answers_as_the_page_says(cloud: Cloud) -> None:
    """Prism stands between and turns whatever breaks the page's schema, on either side, into an error."""
    environ = {"NODE_EXTRA_CA_CERTS": str(cloud.ca_file)}
    process, url = prism("proxy", str(PAGE), cloud.api_base_url, "--errors", environ=environ)
    token = await asyncio.to_thread(_id_token, cloud)
    try:
        with pytest.raises(UpstreamRejected) as caught:
            await issue(asking(url))
        assert isinstance(caught.value, TokenRefused)
        for shape in ("normal", "mixed", "foreign"):
            cloud.options.change(call_in_shape=shape)
            assert (await issue(asking(url), token=token)).expires_at is not None
        cloud.options.change(call_in_shape="empty")
        with pytest.raises(InvalidResponse, match="no ticket"):
            await issue(asking(url), token=token)
    finally:
        end(process)


def _id_token(cloud: Cloud) -> str:
    """An id token of the sandbox, by a login like any other."""
    provider, _ = make_provider(of_cloud(cloud, "partner"), SystemClock(), environ={})
    pending = provider.begin(credentials.REDIRECT_URI)
    landed = follow_login(pending.authorization_url, cloud.ca_file)
    tokens = provider.redeem(pending, parameters(Secret(landed)))
    assert tokens.id_token is not None
    return tokens.id_token.reveal()
