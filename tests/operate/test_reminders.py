"""Reminders: from 15 minutes to once a day, only for people, and only while it is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from broker.core.instant import Instant
from broker.services.reminders import Reminders
from tests.services.fakes import Recorder

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

    def pass_with(self, *problems: dict[str, Any], seconds: float) -> list[float]:
        """The moments (seconds from now) at which a reminder came."""
        start, moments = self.now.boot_seconds, []
        while self.now.boot_seconds - start < seconds:
            before = len(self.events.of("problem.standing"))
            self.reminders.look(lambda: problems, self.now)
            if len(self.events.of("problem.standing")) > before:
                moments.append(self.now.boot_seconds - start)
            self.now = replace(self.now, boot_seconds=self.now.boot_seconds + 10.0)
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
