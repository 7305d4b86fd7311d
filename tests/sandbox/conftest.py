"""A cloud under a clock that the test turns, and somebody who visits it with plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest

from broker.sandbox import Cloud, Options, credentials, follow_login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CALL_IN = "/audiovideounit/videodoorentry/addressLocation/plants/{}/modules/parameter/id/value/{}/callIn"


@dataclass
class TurnedClock:
    """A wall clock that stands still until it is turned."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Visitor:
    cloud: Cloud
    session: aiohttp.ClientSession

    @staticmethod
    def claims(token: str) -> dict[str, Any]:
        """The claims of a JWT, unverified."""
        part = token.split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))

    async def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        async with self.session.get(url, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, await answer.text(), dict(answer.headers))

    async def post(self, url: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        async with self.session.post(url, data=form, headers=headers) as answer:
            return Answer(answer.status, await answer.text(), dict(answer.headers))

    async def control(self, action: str, document: dict[str, Any]) -> Answer:
        async with self.session.post(f"{self.cloud.origin}/__sandbox/{action}", json=document) as answer:
            return Answer(answer.status, await answer.text(), dict(answer.headers))

    async def redirected(self, url: str, *, answer: Any = "accept", user: str | None = None) -> dict[str, str]:
        """The parameters of the redirect after a sign-in."""
        location = await asyncio.to_thread(follow_login, url, self.cloud.ca_file, answer=answer, user=user)
        return dict(parse_qsl(urlsplit(location).query))

    def partner_url(self, **changes: str) -> str:
        query = {
            "client_id": credentials.PARTNER_CLIENT_ID,
            "response_type": "code",
            "state": "the-state",
            "redirect_uri": credentials.REDIRECT_URI,
        }
        return f"{self.cloud.partner_authority}/authorize?{urlencode({**query, **changes})}"

    def b2c_url(self, base: str | None = None, **changes: str) -> str:
        query = {
            "client_id": credentials.B2C_PUBLIC_CLIENT_ID,
            "response_type": "code",
            "state": "the-state",
            "nonce": "the-nonce",
            "scope": "openid offline_access",
            "redirect_uri": credentials.CUSTOM_SCHEME_REDIRECT_URI,
        }
        return f"{base or self.cloud.b2c_authority()}/oauth2/v2.0/authorize?{urlencode({**query, **changes})}"

    async def partner_token(self, **form: str) -> Answer:
        known = {"client_id": credentials.PARTNER_CLIENT_ID, "client_secret": credentials.PARTNER_CLIENT_SECRET}
        kept = {name: value for name, value in {**known, **form}.items() if value}
        return await self.post(f"{self.cloud.partner_authority}/token", kept)

    async def partner_login(self) -> dict[str, Any]:
        """The token answer of a partner sign-in."""
        code = (await self.redirected(self.partner_url()))["code"]
        answer = await self.partner_token(grant_type="authorization_code", code=code)
        assert answer.status == 200, answer.body
        return dict(answer.document)

    async def refresh(self, refresh_token: str) -> Answer:
        return await self.partner_token(grant_type="refresh_token", refresh_token=refresh_token)

    async def b2c_token(self, **form: str) -> Answer:
        url = f"{self.cloud.b2c_authority()}/oauth2/v2.0/token"
        return await self.post(url, {"client_id": credentials.B2C_PUBLIC_CLIENT_ID, **form})

    async def call_in(
        self,
        authorization: str,
        *,
        key: str = credentials.SUBSCRIPTION_KEY,
        plant_id: str = credentials.PLANT_ID,
        device_id: str = credentials.DEVICE_ID,
        accept: str = "application/json",
    ) -> Answer:
        headers = {"Authorization": authorization, "Ocp-Apim-Subscription-Key": key, "Accept": accept}
        url = self.cloud.api_base_url + _CALL_IN.format(plant_id, device_id)
        return await self.get(url, {name: value for name, value in headers.items() if value})


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def cloud(clock: TurnedClock) -> AsyncIterator[Cloud]:
    async with Cloud(Options(), now=clock) as running:
        yield running


@pytest.fixture
async def visitor(cloud: Cloud) -> AsyncIterator[Visitor]:
    context = ssl.create_default_context(cafile=str(cloud.ca_file))
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Visitor(cloud, session)
