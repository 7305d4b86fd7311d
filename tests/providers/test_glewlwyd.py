"""An awkward provider: what works with it, and what its limits make of the rest of the contract.

A refresh brings no id token, so the API is called with the access token (`token = "access_token"`). A dead refresh
token is told by a 400 without a body, which says nothing about the grant (RFC 6749 section 5.2): the login is kept, and
tried again more and more seldom, where another provider's word would end it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.config import AccountConfig, ApiConfig, SecretReference
from broker.core.secret import Secret
from broker.errors import BrokerError, Code, InvalidResponse
from tests.providers.glewlwyd import CLIENT_ID, Glewlwyd
from tests.providers.holder import Holder, ShiftedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.slow
KEY = SecretReference("env", "TEST", Secret("0123456789abcdef0123456789abcdef"))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glewlwyd]:
    with Glewlwyd(tmp_path_factory.mktemp("glewlwyd")) as started:
        yield started


@pytest.fixture
def account(provider: Glewlwyd) -> AccountConfig:
    return AccountConfig(
        name="home",
        provider="oidc",
        authority=provider.issuer,
        client_id=CLIENT_ID,
        api=ApiConfig(KEY, token="access_token", scheme="Bearer"),
        scopes=("openid",),  # it has no offline_access, and gives a refresh token all the same
        ca_file=Path(provider.ca_file),
    )


@pytest.fixture
async def holder(account: AccountConfig, tmp_path: Path) -> AsyncIterator[Holder]:
    made = Holder(account, tmp_path, environ={})
    yield made
    made.close()


async def log_in(holder: Holder, provider: Glewlwyd) -> None:
    pending = await holder.begin()
    await holder.finish(pending, await asyncio.to_thread(provider.log_in, pending.authorization_url))


async def test_login_ten_refreshes_and_a_restart_by_the_access_token(holder: Holder, provider: Glewlwyd) -> None:
    await log_in(holder, provider)
    seen = {holder.refresh_token}
    for number in range(10):
        if number == 5:
            holder.restart()
        await holder.refresh()
        seen.add(holder.refresh_token)
    assert len(seen) == 11
    assert holder.session.access_token is not None


async def test_without_an_id_token_an_account_that_calls_with_it_says_so(
    account: AccountConfig, provider: Glewlwyd, tmp_path: Path
) -> None:
    holder = Holder(replace(account, api=ApiConfig(KEY)), tmp_path, environ={})
    await log_in(holder, provider)
    before = holder.refresh_token
    with pytest.raises(BrokerError, match="the refresh brought no id token") as caught:
        await holder.refresh()
    assert caught.value.code is Code.INVALID_RESPONSE
    assert holder.refresh_token != before, "the rotation is kept all the same"
    holder.close()


async def test_a_dead_refresh_token_is_told_without_a_word_and_the_login_is_kept(
    holder: Holder, provider: Glewlwyd
) -> None:
    await log_in(holder, provider)
    used = holder.refresh_token
    await holder.refresh()
    with pytest.raises(InvalidResponse, match="answered 400 with something that is no JSON object"):
        await asyncio.to_thread(holder.provider.refresh, used)
    with pytest.raises(BrokerError) as caught:  # its reuse detection has ended the newest one, too
        await holder.refresh()
    assert caught.value.code is Code.INVALID_RESPONSE
    assert holder.identity.usable


@pytest.mark.parametrize("skew_minutes", [-10, 10])
async def test_skew_of_10_minutes(
    account: AccountConfig, provider: Glewlwyd, tmp_path: Path, skew_minutes: int
) -> None:
    holder = Holder(account, tmp_path, environ={}, clock=ShiftedClock(skew_minutes * 60.0))
    await log_in(holder, provider)
    await holder.refresh()
    holder.close()
