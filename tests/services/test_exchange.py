"""The uninterruptible steps with the provider: the order of what is written, asked and believed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from broker.core.secret import Secret
from broker.core.session import Phase
from broker.errors import BrokerError, InvalidResponse, LoginRejected, StoreUnavailable, UpstreamUnavailable
from broker.services.exchange import binding_of, next_generation, settings_of
from tests.services.fakes import World, an_account, reference

if TYPE_CHECKING:
    from broker.core.tokens import IdClaims

FULL = StoreUnavailable("no space left on device (ENOSPC)")


def on_disk(world: World) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.store.documents["account-home"])
    return document


async def a_world(**more: Any) -> World:
    world = World(**more)
    await world.login()
    return world


async def test_the_intent_is_on_disk_before_the_request_and_carries_the_backoff_of_a_crash() -> None:
    world = await a_world()
    seen: list[dict[str, Any]] = []
    world.provider.during = lambda: seen.append(on_disk(world))
    await world.identity.refresh_now()
    assert seen[0]["phase"] == Phase.ATTEMPTING
    assert seen[0]["failure"]["retry"][1] >= world.rest_seconds


async def test_a_rotated_token_is_on_disk_before_the_id_token_beside_it_is_looked_at() -> None:
    world = await a_world()
    seen: list[str] = []
    verify = world.verifier.verify

    def look(id_token: Secret, **more: Any) -> IdClaims:
        seen.append(on_disk(world)["refresh_token"])
        return verify(id_token, **more)

    world.verifier.verify = look  # type: ignore[method-assign]
    await world.identity.refresh_now()
    assert seen == ["rt-1"]


async def test_the_id_token_is_on_disk_before_anybody_gets_it() -> None:
    world = await a_world()
    adopt, seen = world.identity.adopt, list[str]()

    def look() -> None:
        seen.append(on_disk(world)["id_token"]["token"])
        adopt()

    world.identity.adopt = look  # type: ignore[method-assign]
    world.clock.advance(10)
    await world.identity.refresh_now()
    held = world.identity.token.value
    assert held is not None
    assert seen == [held.token.reveal()]


async def test_the_keys_are_read_before_the_code_is_spent() -> None:
    world = World()

    def fail() -> None:
        raise UpstreamUnavailable("keys cannot be read", service="keys")

    world.verifier.prepare = fail  # type: ignore[method-assign]
    pending = await world.identity.begin_login()
    with pytest.raises(UpstreamUnavailable):
        await world.identity.finish_login(pending, {"code": "good"})
    assert world.provider.redeemed == []


async def test_an_id_token_is_judged_by_the_clouds_own_date_and_nonce_at_login() -> None:
    world = World()
    pending = replace(await world.identity.begin_login(), nonce=Secret("n"))
    await world.identity.finish_login(pending, {"code": "good"})
    assert world.verifier.asked == [(Secret("n"), world.clock.true_seconds)]


async def test_without_a_date_no_step_of_the_wall_clock_judges_an_id_token() -> None:
    world = await a_world()
    world.provider.answer = lambda tokens: replace(tokens, server_seconds=None)
    world.clock.step(-86_400.0)
    await world.identity.refresh_now()
    assert world.verifier.asked[-1] == (None, world.clock.true_seconds), "as the cloud told it in this boot"
    world.restart()
    await world.identity.refresh_now()
    asked = [told for _, told in world.verifier.asked]
    assert asked[-1] is None, "nobody knows: the token's own time counts"


async def test_a_login_without_an_id_token_is_none() -> None:
    world = World()
    world.provider.answer = lambda tokens: replace(tokens, id_token=None, access_token=Secret("at"))
    with pytest.raises(InvalidResponse, match="no id token"):
        await world.login()
    assert world.store.documents == {}


async def test_a_code_that_was_used_says_to_begin_again() -> None:
    world = World()
    pending = await world.identity.begin_login()
    with pytest.raises(LoginRejected) as caught:
        await world.identity.finish_login(pending, {"code": "used"})
    assert caught.value.hint


async def test_where_the_api_wants_the_access_token_its_own_life_counts() -> None:
    world = World(an_account(token="access_token"))
    world.provider.answer = lambda tokens: replace(
        tokens, access_token=Secret("at"), access_token_seconds=600.0, id_token=tokens.id_token
    )
    await world.login()
    held = world.identity.token.value
    assert held is not None
    assert held.token == Secret("at")
    assert held.life.remaining(world.timekeeper.now()) == 600


async def test_an_answer_without_the_token_that_the_api_wants_keeps_the_old_one() -> None:
    world = await a_world()
    before = world.identity.token.value
    world.provider.answer = lambda tokens: replace(tokens, id_token=None)
    with pytest.raises(BrokerError, match="no id token"):
        await world.identity.refresh_now()
    assert world.identity.token.value is before
    assert world.identity.usable


async def test_generations_grow_whatever_the_wall_clock_does() -> None:
    world = await a_world()
    seen = []
    for step in (0.0, -86_400.0 * 365, 86_400.0 * 3650, -86_400.0 * 3650):
        world.clock.step(step)
        await world.identity.refresh_now()
        held = world.identity.token.value
        assert held is not None
        seen.append(held.generation)
    assert seen == sorted(set(seen))
    assert next_generation(0, world.clock.true_seconds) > 1_700_000_000_000_000, "above those of a state that was lost"


async def test_with_nothing_left_to_serve_a_refresh_goes_on_without_the_disk() -> None:
    world = await a_world()
    world.store.refuse = FULL
    session = world.journal.session
    assert session is not None
    with pytest.raises(StoreUnavailable):
        world.exchange.refresh(session, Secret("rt-0"), 1.0)
    assert world.provider.seen == []
    renewed = world.exchange.refresh(session, Secret("rt-0"), 0.0)
    assert renewed.refresh_token == Secret("rt-1")


def test_a_login_belongs_to_an_application_and_a_failure_to_its_settings() -> None:
    config = an_account()
    assert binding_of(config) == binding_of(an_account(client_secret="another"))
    assert binding_of(config) != binding_of(replace(config, client_id="another"))
    assert settings_of(config) != settings_of(an_account(client_secret="another"))
    other_key = replace(config, api=replace(config.api, subscription_key=reference("another")))
    assert settings_of(config) != settings_of(other_key)
