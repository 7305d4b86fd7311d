from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from broker.adapters.collector import FLIGHTS, THRESHOLDS, Collector

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """Something that the collector looks at."""

    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture
def settled() -> Iterator[Collector]:
    collector = Collector()
    collector.settle()
    yield collector
    collector.give_back()


@pytest.mark.usefixtures("settled")
def test_no_collection_looks_at_what_has_stayed() -> None:
    most = 0
    kept = [Node() for _ in range(60_000)]
    seen = []
    gc.callbacks.append(lambda phase, _: seen.append(len(gc.get_objects())) if phase == "start" else None)
    try:
        for _ in range(60_000):
            kept.append(Node())
            if seen:
                most = max(most, seen.pop())
    finally:
        gc.callbacks.pop()
    assert 0 < most < 4 * THRESHOLDS[0] * THRESHOLDS[1] * THRESHOLDS[2]
    assert gc.get_freeze_count() > len(kept) / 2


@pytest.mark.usefixtures("settled")
def test_what_has_stayed_is_freed_when_nothing_refers_to_it() -> None:
    node = Node()
    gone = weakref.ref(node)
    gc.collect()
    del node
    assert gone() is None


@pytest.mark.usefixtures("settled")
def test_cycles_that_come_and_go_are_collected() -> None:
    gone = []
    for _ in range(20_000):
        one, two = Node(), Node()
        one.other, two.other = two, one
        gone.append(weakref.ref(one))
    del one, two
    left = sum(each() is not None for each in gone)
    assert left < 1_000, "Python puts a full collection off until a quarter of what the last one left has come"


def test_where_new_objects_replace_old_ones_no_collection_has_many_to_go_through(settled: Collector) -> None:
    """As tickets do: what is freed was frozen, so Python counts nothing and waits."""
    kept = [Node() for _ in range(20_000)]
    gc.collect()  # and they stay
    new = []
    count = lambda phase, _: new.append(len(gc.get_objects())) if phase == "start" else None  # noqa: E731
    gc.callbacks.append(count)
    try:
        for number in range(len(kept)):
            kept[number] = Node()
            if number % 10 == 0:  # so many objects has a flight
                settled.flown()
    finally:
        gc.callbacks.remove(count)
    assert len(new) >= len(kept) // 10 // FLIGHTS
    assert max(new) < 20 * FLIGHTS


def test_python_gets_its_collector_back() -> None:
    before, callbacks = gc.get_threshold(), len(gc.callbacks)
    collector = Collector()
    collector.settle()
    collector.settle()
    assert len(gc.callbacks) == callbacks + 1
    collector.give_back()
    collector.give_back()
    assert (gc.get_threshold(), len(gc.callbacks), gc.get_freeze_count()) == (before, callbacks, 0)
