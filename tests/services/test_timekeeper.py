"""Time distrusted: steps, boots, pauses, skew, and what is told of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.instant import Instant, Span
from broker.services.logins import Logins
from broker.services.maintenance import Maintenance
from broker.services.timekeeper import Timekeeper
from tests.services.fakes import DAY, WALL_SECONDS, FakeClock, Recorder, World

YEAR = 365 * DAY


def a_timekeeper(clock: FakeClock) -> tuple[Timekeeper, Recorder]:
    events = Recorder()
    timekeeper = Timekeeper(clock, events)
    timekeeper.watch()
    return timekeeper, events


BELIEVED = {
    "a clock that is right": (0.0, True),
    "minutes ahead": (300.0, True),
    "ten years ahead: nothing within reach says otherwise": (10 * YEAR, True),
    "1970": (-WALL_SECONDS, False),
    "before this program was written": (-1 * YEAR, False),
    "a century ahead": (100 * YEAR, False),
}


@pytest.mark.parametrize("name", BELIEVED)
def test_at_the_first_start_only_a_plausible_clock_is_believed(name: str) -> None:
    step, believed = BELIEVED[name]
    timekeeper, events = a_timekeeper(FakeClock(WALL_SECONDS + step))
    assert timekeeper.synchronized is believed, name
    assert len(events.of("clock.unsynchronized")) == (0 if believed else 1)


def test_a_clock_behind_the_last_save_is_not_believed_after_a_reboot() -> None:
    clock = FakeClock()
    saved = Timekeeper(clock, Recorder()).now()
    clock.reboot(wall_seconds=WALL_SECONDS - 3600)
    timekeeper, _ = a_timekeeper(clock)
    timekeeper.learn(saved)
    assert timekeeper.now().true_seconds is None


def test_the_clouds_date_sets_an_unbelieved_clock_right_and_that_is_told_once() -> None:
    clock = FakeClock(0.0)
    timekeeper, events = a_timekeeper(clock)
    timekeeper.hear(WALL_SECONDS)
    timekeeper.watch()
    timekeeper.watch()
    assert timekeeper.now().true_seconds == WALL_SECONDS
    clock.advance(60)
    assert timekeeper.now().true_seconds == WALL_SECONDS + 60
    assert events.names == ["clock.unsynchronized", "clock.skewed", "clock.synchronized"]


@given(steps=st.lists(st.floats(-DAY, 10 * YEAR), min_size=1, max_size=8))
def test_no_step_of_the_wall_clock_moves_time_within_a_boot(steps: list[float]) -> None:
    clock = FakeClock()
    timekeeper, _ = a_timekeeper(clock)
    timekeeper.hear(clock.true_seconds)
    span = Span(timekeeper.now(), 3600.0)
    for count, step in enumerate(steps, start=1):
        clock.step(step)
        clock.advance(1)
        timekeeper.watch()
        timekeeper.hear(clock.true_seconds)
        assert span.remaining(timekeeper.now()) == pytest.approx(3600 - count, abs=1e-3)


def test_a_step_is_told_once_and_the_skew_once() -> None:
    clock = FakeClock()
    timekeeper, events = a_timekeeper(clock)
    timekeeper.hear(clock.true_seconds)
    clock.step(-DAY)
    for _ in range(5):
        clock.advance(30)
        timekeeper.watch()
    assert events.told == [("clock.stepped", {"step_seconds": -86400}), ("clock.skewed", {"skew_seconds": -86400})]
    assert timekeeper.skew_seconds == -DAY
    clock.step(DAY)
    timekeeper.watch()
    assert timekeeper.skew_seconds == 0


def test_suspend_is_no_step() -> None:
    clock = FakeClock()
    timekeeper, events = a_timekeeper(clock)
    timekeeper.hear(clock.true_seconds)
    clock.advance(5 * 3600)
    timekeeper.watch()
    assert events.told == []
    assert not timekeeper.in_doubt(Instant("boot-1", 1000.0, None))


def test_after_a_reboot_every_life_is_in_doubt_until_the_cloud_tells_the_time() -> None:
    clock = FakeClock()
    before = Timekeeper(clock, Recorder()).now()
    clock.reboot(wall_seconds=WALL_SECONDS + 60)  # a machine without a clock that goes on while it is off
    timekeeper, _ = a_timekeeper(clock)
    assert timekeeper.in_doubt(before)
    assert not timekeeper.in_doubt(timekeeper.now())
    timekeeper.hear(WALL_SECONDS + 5 * 3600)
    assert not timekeeper.in_doubt(before)
    assert timekeeper.now().since(before) == 5 * 3600


def test_a_virtual_machine_is_paused() -> None:
    clock = FakeClock()
    timekeeper, _ = a_timekeeper(clock)
    timekeeper.hear(clock.true_seconds)
    span = Span(timekeeper.now(), 3600.0)
    clock.advance(1)
    clock.step(2 * 3600)  # the boot clock stood still meanwhile
    clock.true_seconds += 2 * 3600
    timekeeper.watch()
    assert timekeeper.in_doubt(span.start)
    timekeeper.hear(clock.true_seconds)
    assert not timekeeper.in_doubt(span.start)
    assert span.remaining(timekeeper.now()) == -3601
    assert timekeeper.skew_seconds == 0


def test_a_pause_that_was_found_out_is_not_forgotten_by_the_next_process() -> None:
    clock = FakeClock()
    timekeeper, _ = a_timekeeper(clock)
    timekeeper.hear(clock.true_seconds)
    span = Span(timekeeper.now(), 3600.0)
    clock.advance(1)
    clock.step(2 * 3600)
    clock.true_seconds += 2 * 3600
    timekeeper.watch()
    timekeeper.hear(clock.true_seconds)
    following, _ = a_timekeeper(clock)
    following.learn(timekeeper.now())
    assert span.remaining(following.now()) == -3601


def test_two_servers_that_disagree_shorten_no_life() -> None:
    clock = FakeClock()
    timekeeper, _ = a_timekeeper(clock)
    span = Span(timekeeper.now(), 3600.0)
    for count in range(20):
        timekeeper.hear(clock.true_seconds + (600 if count % 2 else 0))
        timekeeper.watch()
    assert span.remaining(timekeeper.now()) == 3600


def test_an_absurd_saved_time_teaches_nothing() -> None:
    timekeeper, _ = a_timekeeper(FakeClock())
    timekeeper.learn(Instant("other", 0.0, 1e12))
    assert timekeeper.synchronized


async def test_what_was_leased_by_the_boot_clock_ends_with_the_first_sweep_after_a_leap() -> None:
    world = World()
    await world.login()
    logins = Logins({}, timekeeper=world.timekeeper, events=world.events, window=Closed())
    account: Any = SimpleNamespace(identity=world.identity, tickets={}, sweep=nothing, due_in=lambda _: 30.0)
    maintenance = Maintenance(
        lambda: {"home": account}, logins=logins, timekeeper=world.timekeeper, events=world.events
    )
    await maintenance.sweep()
    lease = world.identity.token.lease(world.timekeeper.now())
    assert lease is not None
    await maintenance.sweep()
    assert lease.until_boot_seconds > world.clock.boot_seconds
    world.clock.step(7200)
    await maintenance.sweep()
    assert lease.until_boot_seconds < 0


async def nothing(_events: object) -> None:
    """No account's sweep."""


class Closed:
    """A login window that never opens."""

    async def open(self, pending: object) -> str | None:
        return "closed" if pending else None

    def short_url(self, login: object) -> str | None:  # noqa: ARG002 -- the port's
        return None
