"""Reminders: from 15 minutes to once a day, only for people, and only while it is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from broker.core.instant import Instant
from broker.errors import BrokerError, StoreDamaged, StoreUnavailable
from broker.services.reminders import Reminders
from tests.services.fakes import InlineWorker, MemoryStore, Recorder

LOGIN = {
    "subject": "account home",
    "code": "login_required",
    "remedy": "login",
    "detail": "account home: not logged in",
    "hint": "run: eliot-broker login home",
}
KEY = {**LOGIN, "code": "config_error", "remedy": "fix", "detail": "the subscription key is invalid"}
OUTAGE = {**LOGIN, "code": "upstream_unavailable", "remedy": "retry"}
MINUTE = 60.0
DAY = 86_400.0


class Days:
    """So many seconds of looking every ten, with these problems."""

    def __init__(self) -> None:
        self.events = Recorder()
        self.reminders = Reminders(self.events)
        self.now = Instant("boot", 1000.0, 1_795_000_000.0)
        self.told: list[float] = []

    async def restart(self, store: MemoryStore, *, new_boot: bool = False, clock: bool = True) -> None:
        """Save, and go on in another process."""
        await self.reminders.save(InlineWorker())
        self.reminders = Reminders(self.events)
        if new_boot:
            true = None if not clock else (self.now.true_seconds or 0.0)
            self.now = Instant(f"{self.now.boot_id}+", 1.0, true)
        self.reminders.open(store)

    def pass_with(self, *problems: dict[str, Any], seconds: float) -> list[float]:
        """The moments (seconds from now) at which a reminder came."""
        start, moments = self.now.boot_seconds, []
        while self.now.boot_seconds - start < seconds:
            before = len(self.events.of("problem.standing"))
            self.reminders.look(lambda: problems, self.now)
            if len(self.events.of("problem.standing")) > before:
                moments.append(self.now.boot_seconds - start)
            true = self.now.true_seconds
            passed = None if true is None else true + 10.0
            self.now = replace(self.now, boot_seconds=self.now.boot_seconds + 10.0, true_seconds=passed)
        return moments


def test_reminders_begin_after_15_minutes_and_grow_to_once_a_day() -> None:
    moments = Days().pass_with(LOGIN, seconds=7 * DAY)
    pauses = [after - before for before, after in zip([0.0, *moments], moments, strict=False)]
    assert pauses[:7] == [MINUTE * 15 * 2**number for number in range(7)]
    assert set(pauses[7:]) == {DAY}


def test_what_the_broker_mends_itself_is_not_reminded_of() -> None:
    assert Days().pass_with(OUTAGE, seconds=DAY) == []


def test_a_problem_that_is_gone_begins_anew() -> None:
    days = Days()
    assert days.pass_with(LOGIN, seconds=20 * MINUTE) == [15 * MINUTE]
    assert days.pass_with(seconds=MINUTE) == []
    assert days.pass_with(LOGIN, seconds=16 * MINUTE) == [15 * MINUTE]


def test_what_only_the_operator_can_mend_is_told_when_it_is_found() -> None:
    days = Days()
    days.pass_with(KEY, LOGIN, seconds=MINUTE)
    assert [facts["code"] for facts in days.events.of("problem.found")] == ["config_error"]


@pytest.mark.slow
async def test_a_schedule_goes_on_over_restarts_and_reboots() -> None:
    days, store = Days(), MemoryStore()
    days.reminders.open(store)
    told: list[float] = []
    for number in range(7 * 24):  # restarted every hour, at every eighth time with the whole machine
        began = number * 3600.0
        told += [began + moment for moment in days.pass_with(LOGIN, KEY, seconds=3600.0)]
        await days.restart(store, new_boot=number % 8 == 7)
    undisturbed = Days().pass_with(LOGIN, KEY, seconds=7 * DAY)
    assert len(told) == len(undisturbed)
    assert told == pytest.approx(undisturbed, abs=60.0)
    assert len(days.events.of("problem.found")) == 1, "a restart is no news"
    last = days.events.of("problem.standing")[-1]["elapsed_seconds"]
    assert isinstance(last, int)
    assert last > 5 * DAY


async def test_where_no_clock_can_compare_two_boots_the_pause_begins_anew_and_the_reminder_comes() -> None:
    days, store = Days(), MemoryStore()
    days.reminders.open(store)
    days.pass_with(LOGIN, seconds=20 * MINUTE)
    await days.restart(store, new_boot=True, clock=False)
    assert days.pass_with(LOGIN, seconds=DAY)[:2] == [30 * MINUTE, 90 * MINUTE]


async def test_what_was_solved_while_the_broker_was_down_is_forgotten() -> None:
    days, store = Days(), MemoryStore()
    days.reminders.open(store)
    days.pass_with(LOGIN, seconds=20 * MINUTE)
    await days.restart(store)
    days.pass_with(seconds=10.0)
    await days.restart(store)
    assert days.pass_with(LOGIN, seconds=16 * MINUTE) == [15 * MINUTE]


async def test_only_what_changed_is_written() -> None:
    days, store = Days(), MemoryStore()
    days.reminders.open(store)
    for _ in range(100):
        days.pass_with(LOGIN, seconds=10.0)
        await days.reminders.save(InlineWorker())
    assert len(store.saved) == 2, "when it was found, and when it was told"


async def test_a_disk_that_refuses_is_told_once_and_tried_again() -> None:
    days, store = Days(), MemoryStore()
    days.reminders.open(store)
    store.refuse = StoreUnavailable("the disk is full")
    for _ in range(3):
        days.pass_with(LOGIN, seconds=10.0)
        await days.reminders.save(InlineWorker())
    store.refuse = None
    await days.reminders.save(InlineWorker())
    assert [name for name, _ in days.events.told] == ["store.unavailable", "store.recovered"]
    assert list(store.documents) == ["reminders"]


@pytest.mark.parametrize(
    ("content", "error", "event"),
    [
        (b"{", None, "store.damaged"),
        (b'{"version": 1, "standing": [[1]]}', None, "store.damaged"),
        (b'{"version": 9}', None, "store.unavailable"),
        (b"", StoreDamaged("both copies"), "store.damaged"),
        (b"", StoreUnavailable("another key"), "store.unavailable"),
    ],
)
async def test_a_document_that_cannot_be_used_is_told_and_one_that_is_not_ours_is_left_alone(
    content: bytes, error: BrokerError | None, event: str
) -> None:
    days, store = Days(), MemoryStore()
    store.documents["reminders"] = content
    store.refuse_reads = error
    days.reminders.open(store)
    assert days.events.names == [event]
    days.pass_with(LOGIN, seconds=10.0)
    await days.reminders.save(InlineWorker())
    assert bool(store.saved) is (event == "store.damaged")
