"""One account's login and token, kept alive on fakes: what a sweep starts, what a failure costs, what status tells."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from broker.core.freshness import DAY_SECONDS as DAY
from broker.core.secret import Secret
from broker.core.session import Phase
from broker.errors import (
    BadRequest,
    BrokerError,
    Code,
    GrantRejected,
    InvalidResponse,
    KnownFailure,
    LoginRejected,
    LoginRequired,
    RateLimited,
    Remedy,
    StoreDamaged,
    StoreUnavailable,
    UpstreamRejected,
    UpstreamUnavailable,
)
from tests.services.fakes import GatedWorker, World, an_account, reference

HOUR = 3600.0
DOWN = UpstreamUnavailable("token endpoint cannot be reached", service="token endpoint")
LOST = UpstreamUnavailable("token endpoint answered 500", service="token endpoint", ambiguous=True)
FULL = StoreUnavailable("state file account-home.sealed not saved: no space left on device (ENOSPC)")
REFUSED = UpstreamRejected("token endpoint refused the application", service="token endpoint", status=400)


async def logged_in(world: World) -> World:
    await world.login()
    return world


# renewal


async def test_an_idle_account_refreshes_at_half_the_id_tokens_life() -> None:
    world = await logged_in(World())
    await world.pass_time(HOUR * 10)
    assert 19 <= len(world.provider.seen) <= 24
    assert world.identity.token.failure is None


async def test_nobody_asks_for_anything_for_days() -> None:
    world = World()
    world.provider.id_token_seconds = 60 * DAY
    world.provider.refresh_token_seconds = None
    await logged_in(world)
    await world.pass_time(10 * DAY, every=HOUR)
    assert len(world.provider.seen) >= 10


async def test_a_refresh_token_that_lives_no_longer_than_the_access_token_is_replaced_in_time() -> None:
    world = World(strict=True)
    world.provider.refresh_token_seconds = 900.0
    await logged_in(world)
    await world.pass_time(HOUR)
    assert len(world.provider.seen) >= 8
    assert world.identity.usable


@pytest.mark.parametrize("step", [-DAY, 3 * 365 * DAY, 10 * 365 * DAY])
async def test_renewal_goes_on_after_a_step_of_the_wall_clock(step: float) -> None:
    world = await logged_in(World())
    world.timekeeper.watch()
    world.clock.step(step)
    world.timekeeper.watch()
    before = len(world.provider.seen)
    await world.pass_time(HOUR)
    assert before + 2 <= len(world.provider.seen) <= before + 4
    assert world.identity.usable


async def test_the_machine_is_suspended_for_hours() -> None:
    world = await logged_in(World())
    world.clock.advance(5 * HOUR)
    await world.sweep()
    assert len(world.provider.seen) == 1
    assert world.identity.token.usable(world.timekeeper.now()) is not None


async def test_a_boot_in_1970_throws_nothing_away_and_the_clouds_date_ends_the_doubt() -> None:
    world = await logged_in(World())
    world.clock.reboot(off_seconds=600, wall_seconds=100.0)
    world.provider.outcomes.append(DOWN)
    world.restart()
    assert world.identity.token.usable(world.timekeeper.now()) is None  # nobody can tell its age: not handed out
    await world.sweep()
    assert world.identity.usable
    assert world.timekeeper.now().true_seconds is None
    await world.pass_time(60)
    assert world.timekeeper.synchronized
    assert world.identity.token.usable(world.timekeeper.now()) is not None


async def test_a_second_start_with_a_clock_that_is_a_day_behind_does_not_believe_it_either() -> None:
    """The first has saved the login, and no time with it, for it knew none."""
    world = await logged_in(World())
    world.clock.reboot(off_seconds=600, wall_seconds=world.clock.wall_seconds - 24 * HOUR)
    world.provider.outcomes += [DOWN, DOWN]
    world.restart()
    await world.sweep()
    assert world.provider.seen, "a failed refresh, and it was saved"
    world.restart()
    assert world.journal.saved is not None
    assert world.journal.saved.true_seconds is None
    assert not world.timekeeper.synchronized
    assert world.identity.token.usable(world.timekeeper.now()) is None


async def test_the_machine_was_off_for_longer_than_its_clock_knows() -> None:
    world = await logged_in(World())
    world.clock.reboot(off_seconds=5 * HOUR, wall_seconds=world.clock.wall_seconds + 60)
    world.restart()
    await world.sweep()
    assert len(world.provider.seen) == 1
    assert world.timekeeper.skew_seconds == 60 - 5 * HOUR


# one flight


async def test_eight_callers_want_a_fresh_token_at_once() -> None:
    gate = GatedWorker()
    world = World(exchanges=gate)
    login = asyncio.gather(world.login())
    for _ in range(5):
        await world.settle()
        gate.release()
    await login
    world.clock.advance(HOUR)
    triggers = [
        *(asyncio.ensure_future(world.identity.refresh_now()) for _ in range(4)),  # noqa: TID251
        *(asyncio.ensure_future(world.identity.fresh_token()) for _ in range(4)),  # noqa: TID251
    ]
    await world.sweep()
    assert gate.waiting == 1
    gate.release()
    await asyncio.gather(*triggers)
    assert len(world.provider.seen) == 1


async def test_a_storm_of_401s_with_one_token_makes_one_refresh() -> None:
    world = await logged_in(World())
    held = world.identity.token.value
    assert held is not None
    tokens = await asyncio.gather(*(world.identity.fresh_token(newer_than=held.generation) for _ in range(8)))
    assert len(world.provider.seen) == 1
    assert {token.generation for token in tokens} == {tokens[0].generation}
    assert tokens[0].generation > held.generation


async def test_a_caller_who_leaves_does_not_stop_the_flight() -> None:
    gate = GatedWorker()
    world = await logged_in(World())
    world.identity._exchanges = gate
    caller = asyncio.ensure_future(world.identity.refresh_now())  # noqa: TID251
    await world.settle()
    caller.cancel()
    await world.settle()
    gate.release()
    await world.settle()
    session = world.identity.session
    assert session is not None
    assert session.refresh_token == Secret("rt-1")


# failures


async def test_a_failing_refresh_fails_nobody_who_can_be_served() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([DOWN] * 50)
    await world.pass_time(0.7 * HOUR)
    assert world.provider.seen
    token = await world.identity.fresh_token()
    assert token.generation
    assert world.identity.token.failure is not None


async def test_the_backoff_is_told_by_one_event_and_kept_through_restarts() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([DOWN] * 1000)
    await world.pass_time(2 * HOUR)
    assert len(world.events.of("id_token.refresh_failed")) == 1
    asked = len(world.provider.seen)
    for _ in range(100):
        world.restart()
        await world.sweep()
    assert len(world.provider.seen) <= asked + 1


async def test_a_crash_loop_in_the_middle_of_every_refresh_asks_no_more_than_the_backoff_allows() -> None:
    world = await logged_in(World())
    world.clock.advance(HOUR)

    def crash() -> None:
        raise KeyboardInterrupt  # the process ends between intent and answer

    world.provider.during = crash
    begin = world.clock.boot_seconds
    for _ in range(100):
        world.restart()
        session = world.identity.session
        assert session is not None
        if world.identity.due_in(world.timekeeper.now()) <= 0:
            sent = session.token_to_send()
            assert sent is not None
            with pytest.raises(KeyboardInterrupt):
                world.exchange.refresh(session, sent, 0.0)
        world.clock.advance(6)
    minutes = (world.clock.boot_seconds - begin) / 60
    assert len(world.provider.seen) <= 12, f"in {minutes} minutes of a crash loop"


async def test_a_repeat_rests_first_and_sends_the_same_token() -> None:
    world = await logged_in(World(strict=True))
    world.provider.outcomes.append(LOST)
    await world.pass_time(0.6 * HOUR)
    at = [n for n, token in enumerate(world.provider.seen) if token == "rt-0"]
    assert len(at) == 2
    assert world.identity.session is not None
    assert world.identity.session.phase is Phase.SETTLED


async def test_after_an_interrupted_refresh_a_restart_rests_before_it_repeats() -> None:
    world = await logged_in(World())
    world.provider.outcomes.append(LOST)
    with pytest.raises(KnownFailure):
        await world.identity.refresh_now()
    world.restart()
    assert world.identity.due_in(world.timekeeper.now()) == pytest.approx(world.rest_seconds)
    await world.sweep()
    assert world.provider.seen == ["rt-0"]
    world.clock.advance(world.rest_seconds)
    await world.sweep()
    assert world.provider.seen == ["rt-0", "rt-0"]


async def test_a_process_killed_long_into_a_request_rests_all_the_same_when_it_is_back() -> None:
    world = await logged_in(World())

    def crash() -> None:
        world.clock.advance(15)
        raise KeyboardInterrupt

    world.provider.during = crash
    session = world.identity.session
    assert session is not None
    with pytest.raises(KeyboardInterrupt):
        world.exchange.refresh(session, Secret("rt-0"), 0.0)
    world.provider.during = lambda: None
    world.restart()
    assert world.identity.due_in(world.timekeeper.now()) == world.rest_seconds


async def test_an_answer_lost_by_a_strict_provider_ends_in_login_required_with_the_reason_and_no_loop() -> None:
    world = await logged_in(World(strict=True))
    world.provider.outcomes.append("lose")
    await world.pass_time(HOUR)
    assert world.provider.seen == ["rt-0", "rt-0"]
    assert not world.identity.usable
    assert "interrupted" in world.identity.why_no_login().message
    await world.pass_time(5 * DAY, every=HOUR)
    for _ in range(10):
        world.restart()
        await world.sweep()
        with pytest.raises(LoginRequired):
            await world.identity.refresh_now()
    assert world.provider.seen == ["rt-0", "rt-0"], "a token rejected for good is never sent again"
    assert len(world.events.of("login.required")) == 1


async def test_the_newest_token_is_rejected_and_the_one_before_it_is_not() -> None:
    world = await logged_in(World())
    await world.identity.refresh_now()
    world.provider.live.discard("rt-1")  # the newest is dead, the one before it lives
    await world.identity.refresh_now()
    assert world.provider.seen == ["rt-0", "rt-1", "rt-0"]
    session = world.identity.session
    assert session is not None
    assert session.refresh_token == Secret("rt-2")
    assert world.identity.token.failure is None


async def test_when_both_are_rejected_the_reason_told_is_that_of_the_newest() -> None:
    world = await logged_in(World())
    await world.identity.refresh_now()
    first = GrantRejected("the account no longer exists (AADB2C90128)", service="token endpoint", status=400)
    second = GrantRejected("the grant was revoked (AADB2C90129)", service="token endpoint", status=400)
    world.provider.outcomes.extend([first, second])
    with pytest.raises(LoginRequired, match="90128"):
        await world.identity.refresh_now()
    assert world.provider.seen[-2:] == ["rt-1", "rt-0"]


async def test_an_answer_brings_no_new_refresh_token() -> None:
    world = await logged_in(World())
    world.provider.rotates = False
    await world.pass_time(3 * HOUR)
    assert set(world.provider.seen) == {"rt-0"}
    assert world.identity.usable


FLAWS = ("iss is not what it must be", "aud is not what it must be", "the signature is wrong", "it is expired")


@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_bad_id_token_costs_nothing_and_the_rotated_token_is_kept(flaw: str) -> None:
    world = await logged_in(World(strict=True))
    before = world.identity.token.value
    world.verifier.flaw = InvalidResponse(f"the id token cannot be accepted: {flaw}", service="id token")
    with pytest.raises(KnownFailure) as caught:
        await world.identity.refresh_now()
    assert caught.value.code is Code.INVALID_RESPONSE
    assert world.identity.token.value is before
    world.restart()
    session = world.identity.session
    assert session is not None
    assert session.refresh_token == Secret("rt-1")
    world.verifier.flaw = None
    await world.pass_time(30)
    await world.identity.refresh_now()
    assert world.identity.usable


async def test_an_id_token_of_another_person_is_not_taken_over() -> None:
    world = await logged_in(World())
    before = world.identity.token.value
    world.provider.subject = "lucia"
    with pytest.raises(KnownFailure, match="another person"):
        await world.identity.refresh_now()
    assert world.identity.token.value is before
    assert world.identity.usable


# what the operator must fix


async def test_a_refused_application_is_a_config_error_asked_about_slowly() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([REFUSED] * 100)
    await world.pass_time(6 * HOUR)
    failure = world.identity.token.failure
    assert failure is not None
    assert (failure.code, failure.remedy) == (Code.CONFIG_ERROR, Remedy.FIX)
    assert 5 <= len(world.provider.seen) <= 6 * HOUR / 300
    assert world.identity.usable


async def test_a_changed_client_secret_ends_the_wait_at_once_and_keeps_the_login() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([REFUSED] * 100)
    await world.pass_time(HOUR)
    asked = len(world.provider.seen)
    world.provider.outcomes.clear()
    world.reconfigure(client_secret=reference("renewed"))
    assert world.identity.token.failure is None
    await world.sweep()
    assert len(world.provider.seen) == asked + 1
    assert world.identity.token.failure is None


async def test_a_reload_that_changes_nothing_of_the_account_keeps_its_wait() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([DOWN] * 100)
    await world.pass_time(2 * HOUR)
    wait = world.identity.due_in(world.timekeeper.now())
    assert wait > 0
    world.reconfigure()
    assert world.identity.due_in(world.timekeeper.now()) == wait


async def test_a_flight_goes_on_through_a_reload() -> None:
    gate = GatedWorker()
    world = await logged_in(World())
    world.identity._exchanges = gate
    flight = world.identity.token.start()
    await world.settle()
    world.reconfigure(client_secret=reference("renewed"))
    assert world.identity.token.failure is None
    gate.release()
    await flight
    assert world.identity.session is not None
    assert world.identity.session.refresh_token == Secret("rt-1")


async def test_another_application_in_the_configuration_needs_a_login_and_the_old_one_is_kept_for_it() -> None:
    world = await logged_in(World())
    world.reconfigure(client_id="another")
    assert not world.identity.usable
    assert "another application" in world.identity.why_no_login().message
    world.reconfigure(client_id="app")
    assert world.identity.usable


# the cloud's own words


async def test_the_cloud_says_retry_after() -> None:
    world = await logged_in(World())
    world.provider.outcomes.append(RateLimited("429", service="token endpoint", retry_after_seconds=900))
    with pytest.raises(KnownFailure):
        await world.identity.refresh_now()
    with pytest.raises(KnownFailure) as caught:
        await world.identity.refresh_now()
    assert caught.value.retry_after_seconds == 900
    await world.pass_time(890, every=10)
    assert len(world.provider.seen) == 1
    world.clock.advance(10)
    await world.identity.refresh_now()
    assert len(world.provider.seen) == 2


async def test_a_person_steps_over_our_own_backoff() -> None:
    world = await logged_in(World())
    world.provider.outcomes.append(DOWN)
    with pytest.raises(KnownFailure):
        await world.identity.refresh_now()
    await world.identity.refresh_now()
    assert len(world.provider.seen) == 2


async def test_the_backoff_is_tighter_while_little_is_left() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([DOWN] * 10_000)
    await world.pass_time(HOUR - 60, every=5)
    failure = world.identity.token.failure
    assert failure is not None
    assert failure.retry.seconds <= 15


# logging in and out


async def test_a_logout_comes_while_a_refresh_is_under_way() -> None:
    gate = GatedWorker()
    world = await logged_in(World())
    world.identity._exchanges = gate
    flight = world.identity.token.start()
    await world.settle()
    await world.identity.logout()
    gate.release()
    await flight
    assert world.identity.session is None
    assert world.store.documents == {}
    assert world.events.of("login.dropped")
    world.restart()
    assert world.identity.session is None


async def test_a_logout_between_the_redirect_and_its_exchange_wins() -> None:
    gate = GatedWorker()
    world = await logged_in(World())
    pending = await world.identity.begin_login()
    world.identity._exchanges = gate
    finishing = asyncio.ensure_future(world.identity.finish_login(pending, {"code": "good"}))  # noqa: TID251
    await world.settle()
    await world.identity.logout()
    gate.release()
    with pytest.raises(BadRequest, match="ended"):
        await finishing
    assert world.identity.session is None


async def test_a_new_login_wins_over_a_refresh_of_the_old_one_under_way() -> None:
    gate = GatedWorker()
    world = await logged_in(World())
    world.identity._exchanges = gate
    flight = world.identity.token.start()
    await world.settle()
    world.identity._exchanges = world.worker
    await world.login()
    newest = world.journal.session
    gate.release()
    await flight
    assert world.journal.session == newest


async def test_a_login_refused_leaves_the_present_one_untouched() -> None:
    world = await logged_in(World())
    present = world.journal.session
    pending = await world.identity.begin_login()
    with pytest.raises(LoginRejected):
        await world.identity.finish_login(pending, {"code": "used"})
    assert world.journal.session is present


async def test_another_person_logs_in() -> None:
    world = await logged_in(World())
    world.provider.subject = "lucia"
    with pytest.raises(LoginRejected, match="another person"):
        await world.login()
    await world.identity.logout()
    await world.login()
    assert world.journal.session is not None
    assert world.journal.session.subject == "lucia"


# the disk


async def test_with_the_intent_unwritable_a_refresh_waits_until_the_id_token_is_gone() -> None:
    world = await logged_in(World())
    world.store.refuse = FULL
    await world.pass_time(0.95 * HOUR)
    assert world.provider.seen == []
    assert (await world.identity.fresh_token()).generation
    await world.pass_time(0.1 * HOUR)
    assert world.provider.seen == ["rt-0"]
    assert (await world.identity.fresh_token()).generation
    assert world.journal.unsaved


async def test_a_disk_that_comes_back_is_written_to_and_that_is_told_once() -> None:
    world = await logged_in(World())
    world.store.refuse = FULL
    await world.pass_time(1.1 * HOUR)
    world.store.refuse = None
    await world.sweep()
    assert not world.journal.unsaved
    assert len(world.events.of("store.unavailable")) == 1
    assert len(world.events.of("store.recovered")) == 1
    world.restart()
    assert world.identity.session is not None
    assert world.identity.session.refresh_token == Secret("rt-1")


async def test_a_file_under_another_key_blocks_the_account_and_is_looked_at_again() -> None:
    world = await logged_in(World())
    wrong = StoreUnavailable("state file: sealed with key 12, the key here is 34; nothing was touched", hint="…")
    world.store.refuse_reads = wrong
    world.restart()
    assert world.identity.why_no_login() is wrong
    for forbidden in (world.identity.begin_login(), world.identity.logout(), world.identity.refresh_now()):
        with pytest.raises(StoreUnavailable, match="sealed with key"):
            await forbidden
    await world.pass_time(60)
    assert world.provider.seen == []
    world.store.refuse_reads = None
    await world.pass_time(30)
    assert world.identity.usable
    assert len(world.events.of("store.unavailable")) == 1
    assert len(world.events.of("store.recovered")) == 1


async def test_a_damaged_file_is_the_reason_why_a_login_is_required() -> None:
    world = await logged_in(World())
    world.store.refuse_reads = StoreDamaged("state file is damaged (…); set aside as account-home.sealed.damaged-1")
    world.restart()
    error = world.identity.why_no_login()
    assert error.code is Code.LOGIN_REQUIRED
    assert "set aside as account-home.sealed.damaged-1" in error.message
    assert len(world.events.of("store.damaged")) == 1
    world.store.refuse_reads = None
    await world.login()
    assert world.identity.usable
    assert world.identity.damage is None


async def test_a_restored_backup_is_told_and_explains_the_rejection() -> None:
    world = await logged_in(World(strict=True))
    old = dict(world.store.documents)
    await world.identity.refresh_now()
    await world.identity.refresh_now()
    mark = world.journal.mark()
    world.store.documents = old
    world.restart()
    world.journal.compare(mark)
    await world.sweep()
    assert len(world.events.of("login.restored")) == 1
    assert world.identity.usable
    with pytest.raises(BrokerError, match="older copy"):
        await world.identity.refresh_now()


async def test_a_whole_state_directory_from_a_backup_explains_the_rejection_by_its_age() -> None:
    world = await logged_in(World(strict=True))
    old = dict(world.store.documents)
    await world.pass_time(3 * HOUR)
    world.store.documents = old
    world.restart()
    with pytest.raises(BrokerError, match="saved 3 hours before this start"):
        await world.identity.refresh_now()


# the end foreseen


async def test_the_login_nears_its_end() -> None:
    world = await logged_in(World(an_account(sliding_window_seconds=90 * DAY)))
    await world.pass_time(89.9 * DAY, every=HOUR)
    assert [facts["threshold"] for facts in world.events.of("login.ending")] == ["7d", "48h", "12h"]
    assert world.identity.login_left(world.timekeeper.now()) == pytest.approx(0.1 * DAY, abs=HOUR)


async def test_the_cloud_is_out_of_reach_for_days() -> None:
    world = await logged_in(World())
    world.provider.outcomes.extend([DOWN] * 100_000)
    await world.pass_time(12.5 * DAY, every=HOUR)
    world.restart()
    await world.pass_time(0.1 * DAY, every=HOUR)
    assert [facts["threshold"] for facts in world.events.of("login.ending")] == ["7d", "48h"]
    world.provider.outcomes.clear()
    await world.pass_time(2 * HOUR)
    assert len(world.events.of("login.renewed")) == 1
    session = world.identity.session
    assert session is not None
    assert session.warned == ()


async def test_a_login_without_a_refresh_token_says_why_it_ends() -> None:
    world = World()
    world.provider.answer = lambda tokens: replace(tokens, refresh_token=None)
    await logged_in(world)
    assert not world.identity.usable
    assert "no refresh token" in world.identity.why_no_login().message
