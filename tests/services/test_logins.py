"""Logins under way: one at a time for each account, ten minutes long, and the present login untouched until the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from broker.core.secret import Secret
from broker.errors import BadRequest, LoginRejected, ResponseMismatch, StoreUnavailable, UpstreamUnavailable
from broker.services.logins import PENDING_SECONDS, Logins
from tests.services.fakes import GatedWorker, World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.core.tokens import PendingLogin

GOOD = Secret("http://localhost:8400/callback?code=good&state=s-1")
AGAIN = Secret("http://localhost:8400/callback?code=good&state=s-2")


class Window:
    """Notes for which redirect URIs it is open."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem
        self.open_for: list[frozenset[str]] = []

    async def open(self, pending: Iterable[PendingLogin]) -> str | None:
        self.open_for.append(frozenset(login.redirect_uri for login in pending))
        return self.problem

    def short_url(self, login: PendingLogin) -> str | None:  # noqa: ARG002 -- the port's
        return None


class Scene:
    """A world with its logins; its authorization requests have the states s-1, s-2 and so on."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.window = Window()
        self.logins = Logins(
            {"home": self.world.identity},
            timekeeper=self.world.timekeeper,
            events=self.world.events,
            window=self.window,
        )
        begin, self.begun = self.world.provider.begin, 0

        def numbered(redirect_uri: str) -> PendingLogin:
            self.begun += 1
            return replace(begin(redirect_uri), state=Secret(f"s-{self.begun}"))

        self.world.provider.begin = numbered  # type: ignore[method-assign]

    async def begin(self) -> None:
        await self.logins.begin(self.world.identity)

    async def complete(self, response: Secret) -> None:
        await self.logins.complete(self.world.identity, response)


async def test_a_login_begins_is_pending_and_completes() -> None:
    scene = Scene()
    await scene.begin()
    assert scene.logins.pending("home") is not None
    await scene.complete(GOOD)
    assert scene.logins.pending("home") is None
    assert scene.world.identity.usable
    assert [bool(uris) for uris in scene.window.open_for] == [True, False], "nothing listens once nothing is pending"


async def test_a_redirect_finds_its_login_by_its_state() -> None:
    scene = Scene()
    await scene.begin()
    assert await scene.logins.complete_redirect(GOOD) is scene.world.identity


async def test_a_second_login_voids_the_first() -> None:
    scene = Scene()
    await scene.begin()
    await scene.begin()
    with pytest.raises(ResponseMismatch):
        await scene.complete(GOOD)
    await scene.complete(AGAIN)


async def test_a_redirect_is_good_once() -> None:
    scene = Scene()
    await scene.begin()
    await scene.complete(GOOD)
    with pytest.raises(BadRequest, match="no login is pending"):
        await scene.complete(GOOD)
    with pytest.raises(ResponseMismatch):
        await scene.logins.complete_redirect(GOOD)


async def test_a_pending_login_expires_after_ten_minutes_whatever_the_wall_clock_does() -> None:
    scene = Scene()
    await scene.begin()
    scene.world.clock.step(86_400)
    assert scene.logins.pending("home") is not None
    assert scene.logins.due_in(scene.world.timekeeper.now()) == PENDING_SECONDS
    scene.world.clock.advance(PENDING_SECONDS)
    await scene.logins.maintain(scene.world.timekeeper.now())
    assert scene.logins.pending("home") is None
    assert len(scene.world.events.of("login.expired")) == 1
    with pytest.raises(BadRequest):
        await scene.complete(GOOD)


REFUSED = {
    "another state": "http://localhost:8400/callback?code=good&state=s-9",
    "no state": "http://localhost:8400/callback?code=good&session=1",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_answer_to_something_else_leaves_the_login_pending(name: str) -> None:
    scene = Scene()
    await scene.begin()
    for completing in (scene.complete, scene.logins.complete_redirect):
        with pytest.raises(ResponseMismatch):
            await completing(Secret(REFUSED[name]))
    assert scene.logins.pending("home") is not None


async def test_a_refused_code_ends_what_is_pending_and_nothing_else() -> None:
    scene = Scene()
    await scene.begin()
    await scene.complete(GOOD)
    present = scene.world.journal.session
    await scene.begin()
    with pytest.raises(LoginRejected):
        await scene.complete(Secret("code=used&state=s-2"))
    assert scene.logins.pending("home") is None
    assert scene.world.journal.session is present
    assert len(scene.world.events.of("login.failed")) == 1
    ended = scene.logins.ended("home")
    assert isinstance(ended, LoginRejected), "whoever awaits the login learns why it came to nothing"
    await scene.begin()
    assert scene.logins.ended("home") is None


async def test_an_outage_in_the_middle_lets_the_person_try_the_same_address_again() -> None:
    scene = Scene()
    await scene.begin()
    prepare = scene.world.verifier.prepare

    def fail() -> None:
        raise UpstreamUnavailable("keys cannot be read", service="keys")

    scene.world.verifier.prepare = fail  # type: ignore[method-assign]
    with pytest.raises(UpstreamUnavailable):
        await scene.complete(GOOD)
    scene.world.verifier.prepare = prepare  # type: ignore[method-assign]
    await scene.complete(GOOD)
    assert scene.world.identity.usable


async def test_a_login_that_cannot_be_saved_does_not_take_the_place_of_the_present_one() -> None:
    scene = Scene()
    await scene.begin()
    await scene.complete(GOOD)
    present = scene.world.journal.session
    await scene.begin()
    scene.world.store.refuse = StoreUnavailable("no space left on device (ENOSPC)")
    with pytest.raises(StoreUnavailable):
        await scene.complete(AGAIN)
    assert scene.world.journal.session is present


async def test_a_login_that_is_being_completed_is_still_under_way_and_takes_no_second_answer() -> None:
    scene = Scene()
    await scene.begin()
    gate = GatedWorker()
    scene.world.identity._exchanges = gate
    completing = asyncio.ensure_future(scene.complete(GOOD))  # noqa: TID251
    await scene.world.settle()
    assert scene.logins.pending("home") is not None, "who looks now must not be told that it ended"
    with pytest.raises(BadRequest, match="no login is pending"):
        await scene.complete(GOOD)
    gate.release()
    await completing
    assert scene.logins.pending("home") is None
    assert scene.world.identity.usable


async def test_a_logout_ends_a_login_that_is_being_completed_and_leaves_nothing_pending() -> None:
    scene = Scene()
    await scene.begin()
    gate = GatedWorker()
    scene.world.identity._exchanges = gate
    completing = asyncio.ensure_future(scene.complete(GOOD))  # noqa: TID251
    await scene.world.settle()
    await scene.logins.void("home")
    await scene.world.identity.logout()
    gate.release()
    with pytest.raises(BadRequest, match="ended"):
        await completing
    assert scene.logins.pending("home") is None
    assert scene.world.journal.session is None


async def test_an_account_that_was_removed_is_no_longer_logged_in_to() -> None:
    scene = Scene()
    await scene.begin()
    scene.logins.identities = {}
    with pytest.raises(ResponseMismatch):
        await scene.logins.complete_redirect(GOOD)
    await scene.logins.maintain(scene.world.timekeeper.now())
    assert scene.logins.pending("home") is None


async def test_what_keeps_the_window_from_listening_is_told() -> None:
    scene = Scene()
    scene.window.problem = "port 8400 is taken"
    await scene.begin()
    assert scene.logins.listen_problem == "port 8400 is taken"
