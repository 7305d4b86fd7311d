from __future__ import annotations

from broker.core.plan import Need
from broker.services.book import Book
from broker.services.planner import Planner
from tests.services.fakes import FakeClock, InlineWorker, MemoryStore, Recorder
from tests.services.test_book import now_of


def a_planner() -> Planner:
    clock = FakeClock()
    return Planner(
        Book("home", store=MemoryStore(), worker=InlineWorker(), now=lambda: now_of(clock), events=Recorder())
    )


def test_needs_that_are_equal_are_one_object() -> None:
    planner = a_planner()
    first = planner.need(None, Need(3600.0, 30.0), adaptive=False)
    assert planner.need(None, Need(3600.0, 30.0), adaptive=False) is first


def test_lives_that_differ_with_every_ticket_leave_nothing_behind() -> None:
    planner, before = a_planner(), None
    for life in range(300, 30_000, 30):
        before = planner.need(before, Need(float(life), 30.0), adaptive=False)
    assert len(planner._kinds) == len(planner._steady) == 1
    assert planner.need(before, None, adaptive=False) is None
    assert not planner._kinds
    assert not planner._steady
