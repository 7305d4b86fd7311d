"""The same contract over every provider and every kind of account: ours and those that others wrote.

Each test is one column of the table «What has been tried», each way one row.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.core.session import Phase
from broker.errors import BrokerError, Code, GrantRejected, InvalidResponse, LoginRejected
from tests.providers.holder import REREAD_SECONDS, Holder, ShiftedClock
from tests.providers.ways import WAYS, Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from broker.core.secret import Secret
    from tests.providers.houses import House

pytestmark = pytest.mark.slow
MINUTE = 60.0


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def house(way: Way, house_of: Callable[[str], House]) -> House:
    return house_of(way.house)


@pytest.fixture
async def holder(way: Way, house: House, tmp_path: Path) -> AsyncIterator[Holder]:
    made = Holder(way.account(house), tmp_path, environ=house.environ)
    yield made
    made.close()


async def log_in(holder: Holder, house: House) -> None:
    pending = await holder.begin()
    await holder.finish(pending, await asyncio.to_thread(house.log_in, pending.authorization_url))


async def problem_of(holder: Holder) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await holder.refresh()
    return caught.value


def id_token(holder: Holder) -> Secret:
    held = holder.session.id_token
    assert held is not None
    return held.token


async def test_login(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    session = holder.session
    assert session.subject
    assert session.phase is Phase.SETTLED
    assert holder.identity.usable
    held = session.id_token
    assert held is not None
    remaining = held.life.remaining(holder.timekeeper.now())
    assert remaining is not None
    assert 0.9 * held.life.seconds < remaining <= held.life.seconds


async def test_refresh_with_rotation(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    before, generation, subject = holder.refresh_token, holder.session.id_token, holder.session.subject
    await holder.refresh()
    assert holder.refresh_token != before
    assert holder.session.previous_refresh_token == before
    assert holder.session.subject == subject
    assert generation is not None
    newer = holder.session.id_token
    assert newer is not None
    assert newer.generation > generation.generation


async def test_reuse_is_detected(holder: Holder, house: House) -> None:
    """Somebody else replays a used token: the provider ends the family, and we say so once and stop."""
    await log_in(holder, house)
    used = holder.refresh_token
    await holder.refresh()
    newest = holder.refresh_token
    with pytest.raises(GrantRejected):
        await asyncio.to_thread(holder.provider.refresh, used)
    problem = await problem_of(holder)
    assert problem.code is Code.LOGIN_REQUIRED
    while holder.identity.usable:  # the previous token is tried once, when the newest was rejected
        problem = await problem_of(holder)
    assert problem.code is Code.LOGIN_REQUIRED
    assert {used.digest, newest.digest} <= set(holder.session.rejected)
    assert holder.session.phase is Phase.ENDED


async def test_keys_rolled_softly(holder: Holder, house: House) -> None:
    """Within the minute in which keys are not read again a token of a new key waits, and no rotation is lost."""
    await log_in(holder, house)
    old_token, before = id_token(holder), holder.refresh_token
    await asyncio.to_thread(house.rotate_keys, keep_old=True)
    problem = await problem_of(holder)
    assert problem.code is Code.INVALID_RESPONSE
    assert "signature" in problem.message
    assert holder.refresh_token != before, "the rotation is kept although the id token was not taken"
    holder.clock.pass_time(REREAD_SECONDS)
    await holder.refresh()
    assert id_token(holder) != old_token
    await asyncio.to_thread(holder.verifier.verify, old_token, nonce=None, server_seconds=None)


async def test_keys_rolled_hard(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    old_token = id_token(holder)
    await asyncio.to_thread(house.rotate_keys, keep_old=False)
    holder.clock.pass_time(REREAD_SECONDS)
    await holder.refresh()
    assert id_token(holder) != old_token
    with pytest.raises(InvalidResponse, match="signature"):
        await asyncio.to_thread(holder.verifier.verify, old_token, nonce=None, server_seconds=None)


async def test_wrong_audience(way: Way, house: House, holder: Holder, tmp_path: Path) -> None:
    """An id token that the same provider made for another application, well signed."""
    await log_in(holder, house)
    directory = tmp_path / "other"
    directory.mkdir()
    other = Holder(replace(holder.config, client_id=way.other_client), directory, environ=house.environ)
    try:
        token = id_token(holder)
        with pytest.raises(InvalidResponse, match="aud is not what it must be"):
            await asyncio.to_thread(other.verifier.verify, token, nonce=None, server_seconds=None)
    finally:
        other.close()


async def test_expired_grant(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    await asyncio.to_thread(house.expire)
    problem = await problem_of(holder)
    assert problem.code is Code.LOGIN_REQUIRED
    assert not holder.identity.usable
    await log_in(holder, house)
    await holder.refresh()


async def test_revoked_grant(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    await asyncio.to_thread(house.revoke, holder.config, holder.refresh_token)
    problem = await problem_of(holder)
    assert problem.code is Code.LOGIN_REQUIRED
    assert not holder.identity.usable
    assert len(holder.events.of("login.required")) == 1


async def test_cancelled_login(holder: Holder, house: House) -> None:
    """The present login stays as it is."""
    await log_in(holder, house)
    pending = await holder.begin()
    landed = await asyncio.to_thread(house.cancel, pending.authorization_url)
    with pytest.raises(LoginRejected, match="cancelled, or refused"):
        await holder.finish(pending, landed)
    await holder.refresh()


async def skewed(way: Way, house: House, tmp_path: Path, skew_seconds: float) -> tuple[Holder, Secret]:
    holder = Holder(way.account(house), tmp_path, environ=house.environ, clock=ShiftedClock(skew_seconds))
    await log_in(holder, house)
    await holder.refresh()
    assert holder.session.id_token is not None
    life, now = holder.session.id_token.life, holder.timekeeper.now()
    remaining = life.remaining(now)
    assert remaining is not None
    assert 0.9 * life.seconds < remaining <= life.seconds, "counted from receipt, whatever the wall clock says"
    assert holder.timekeeper.skew_seconds == pytest.approx(skew_seconds, abs=3)
    return holder, holder.session.id_token.token


@pytest.mark.parametrize("skew_minutes", [-4, 4])
async def test_skew_of_4_minutes(way: Way, house: House, tmp_path: Path, skew_minutes: int) -> None:
    """Within the leeway of 5 minutes: accepted, also where the answer had no Date to judge by."""
    holder, token = await skewed(way, house, tmp_path, skew_minutes * MINUTE)
    await asyncio.to_thread(holder.verifier.verify, token, nonce=None, server_seconds=None)
    holder.close()


@pytest.mark.parametrize("skew_minutes", [-10, 10])
async def test_skew_of_10_minutes(way: Way, house: House, tmp_path: Path, skew_minutes: int) -> None:
    """Beyond the leeway: accepted all the same, by the answer's Date, else by the token's own time."""
    holder, token = await skewed(way, house, tmp_path, skew_minutes * MINUTE)
    await asyncio.to_thread(holder.verifier.verify, token, nonce=None, server_seconds=None)
    life = holder.session.id_token.life if holder.session.id_token else None
    assert life is not None
    with pytest.raises(InvalidResponse, match="expired") as caught:
        await asyncio.to_thread(
            holder.verifier.verify, token, nonce=None, server_seconds=life.expires_at + 10.0 * MINUTE
        )
    assert "clock" in (caught.value.hint or "")
    holder.close()


async def test_restart_in_between(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    await holder.refresh()
    newest, token = holder.refresh_token, id_token(holder)
    holder.restart()
    assert (holder.refresh_token, id_token(holder)) == (newest, token)
    await holder.refresh()
    assert holder.session.previous_refresh_token == newest


async def test_ten_refreshes_in_a_row(holder: Holder, house: House) -> None:
    await log_in(holder, house)
    seen = {holder.refresh_token}
    for _ in range(10):
        await holder.refresh()
        seen.add(holder.refresh_token)
    assert len(seen) == 11
    assert holder.identity.usable
