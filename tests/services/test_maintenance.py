from __future__ import annotations

import itertools
import math

import pytest

from broker.drill.virtual import pass_seconds
from broker.errors import UpstreamUnavailable
from broker.services.agenda import AT_ONCE, Agenda
from broker.services.breath import SLICE
from tests.benchmarks.planning.cost import measure
from tests.benchmarks.planning.world import a_door
from tests.services.lab import Lab, in_lab


class Item:
    def __init__(self, name: str) -> None:
        self.name = name
        self.look_at_seconds = math.inf
        self.queued = False


# the agenda


def test_the_last_word_counts_whenever_it_was_said() -> None:
    agenda: Agenda[Item] = Agenda()
    one, two = Item("one"), Item("two")
    agenda.look_at(one, 50.0)
    agenda.look_at(two, 60.0)
    agenda.look_at(one, 70.0)  # later after all
    assert agenda.next_look() == 60.0
    assert agenda.take_look(65.0) is two
    assert agenda.take_look(65.0) is None
    agenda.look_at(one, 10.0)  # earlier
    assert agenda.take_look(65.0) is one
    assert agenda.next_look() == math.inf


def test_entries_that_no_longer_count_are_dropped_a_few_at_a_time() -> None:
    agenda: Agenda[Item] = Agenda()
    items = [Item(str(number)) for number in range(2 * AT_ONCE)]
    for item in items:
        agenda.look_at(item, 50.0)
    for item in items[: AT_ONCE + 10]:
        agenda.look_at(item, 60.0)
    assert agenda.drop_stale()
    assert not agenda.drop_stale()
    assert agenda.take_look(55.0) is items[AT_ONCE + 10]


def test_entries_that_no_longer_count_do_not_pile_up() -> None:
    agenda: Agenda[Item] = Agenda()
    item = Item("one")
    for number in range(10_000):
        agenda.look_at(item, 1000.0 + number)
    assert len(agenda._heap) < 200
    assert agenda.next_look() == 10_999.0


def test_the_urgent_go_first_and_all_in_the_order_in_which_they_came() -> None:
    agenda: Agenda[Item] = Agenda()
    items = [Item(str(number)) for number in range(3)]
    for item in items:
        agenda.queue(item, urgent=False)
        agenda.queue(item, urgent=False)
    assert [agenda.take_queued(urgent=False) for _ in items] == items
    assert not agenda.waiting(urgent=False)
    agenda.queue(items[2], urgent=True)
    assert agenda.take_queued(urgent=True) is items[2]


# what a sweep does, counted


def looked_at(lab: Lab) -> int:
    return lab.account.looks


def test_a_sweep_looks_only_at_what_may_have_changed() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(60)
        before = looked_at(lab)
        for _ in range(50):
            await lab.maintenance.sweep()
        assert looked_at(lab) == before

    in_lab(scenario, *(a_door(f"door-{number}", "always") for number in range(300)))


@pytest.mark.parametrize("tickets", [20, 200])
def test_the_looks_a_renewal_takes_do_not_grow_with_the_tickets(tickets: int) -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(1500)
        assert lab.calls == pytest.approx(tickets * 1500 / 203, rel=0.1)
        assert looked_at(lab) / lab.calls < 5

    in_lab(scenario, *(a_door(f"door-{number}", "always") for number in range(tickets)))


def test_a_sweep_gives_way_between_slices() -> None:
    async def scenario(lab: Lab) -> None:
        await pass_seconds(5)
        turns = 0
        for ticket in lab.account.tickets.values():
            lab.account.touch(ticket)
        sweep = lab.maintenance.sweep().__await__()
        looks = [looked_at(lab)]
        while True:
            try:
                sweep.send(None)
            except StopIteration:
                break
            turns += 1
            looks.append(looked_at(lab))
        assert turns >= 300 // SLICE
        assert max(after - before for before, after in itertools.pairwise(looks)) <= SLICE

    in_lab(scenario, *(a_door(f"door-{number}", "always") for number in range(300)))


def test_while_the_cloud_is_down_a_thousand_tickets_make_one_call_at_a_time() -> None:
    async def scenario(lab: Lab) -> None:
        lab.cloud.always = UpstreamUnavailable("503", service="issuer", status=503)
        await pass_seconds(600)
        assert lab.calls < 60
        looks = looked_at(lab)
        await pass_seconds(600)
        assert looked_at(lab) - looks < 1500

    in_lab(scenario, *(a_door(f"door-{number}", "always") for number in range(1000)))


@pytest.mark.slow
def test_many_tickets_cost_no_more_each_than_few() -> None:
    few, many = measure(300), measure(3000)
    assert many.own_microseconds < 3 * few.own_microseconds
    assert many.bytes_a_ticket <= few.bytes_a_ticket * 1.05
    assert many.bytes_a_ticket < 2048 + 2 * 428 + 100
    assert many.saves < many.renewals / 10
    assert many.longest_turn_seconds < 0.005, "the sweep held the loop"
    assert many.idle_sweep_seconds < 5 * few.idle_sweep_seconds + 1e-3
