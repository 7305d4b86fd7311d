from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import quota
from broker.core.demand import asked
from broker.core.instant import Instant, Lifetime, Span
from broker.core.secret import Secret
from broker.errors import StoreDamaged, StoreUnavailable
from broker.services.book import LEAF_PAGES, Book
from broker.services.page import HeldTicket
from tests.services.fakes import FakeClock, GatedWorker, InlineWorker, MemoryStore, Recorder

NOW = Instant("boot", 50.0, 1_795_003_200.0)


def now_of(clock: FakeClock) -> Instant:
    return Instant("boot", clock.boot_seconds, clock.wall_seconds)


def a_book(
    store: MemoryStore | None = None,
    worker: Any = None,
    events: Recorder | None = None,
    clock: FakeClock | None = None,
) -> Book:
    clock = clock or FakeClock()
    return Book(
        "home",
        store=store or MemoryStore(),
        worker=worker or InlineWorker(),
        now=lambda: now_of(clock),
        events=events or Recorder(),
    )


def a_ticket(generation: int = 1, text: str = "jwt") -> HeldTicket:
    return HeldTicket(Secret(text), Lifetime(1, 301, Span(NOW, 300.0)), generation, {"plant": {"id": "p"}})


def test_many_changes_are_one_save_and_each_who_commits_knows_that_it_is_on_disk() -> None:
    async def main() -> None:
        store, worker = MemoryStore(), GatedWorker()
        book = a_book(store, worker)
        commits = []
        for number in range(50):
            page = book.page(f"door-{number}", "binding")
            page.held = (a_ticket(number),)
            commits.append(asyncio.create_task(book.commit(f"door-{number}")))  # noqa: TID251 - 50 callers
        while not all(commit.done() for commit in commits):
            await asyncio.sleep(0)  # noqa: TID251
            worker.release()
        assert [commit.result() for commit in commits] == [True] * 50
        assert len(store.saved) <= 2
        assert not book.unsaved

    asyncio.run(main())


def test_a_change_during_a_save_waits_for_the_next_one() -> None:
    async def main() -> None:
        store, worker = MemoryStore(), GatedWorker()
        book = a_book(store, worker)
        book.page("front", "b").held = (a_ticket(1, "jwt-one"),)
        first = asyncio.create_task(book.commit("front"))  # noqa: TID251
        while not worker.waiting:  # noqa: ASYNC110 - a fake tells nobody
            await asyncio.sleep(0)  # noqa: TID251
        book.page("front", "b").held = (a_ticket(2, "jwt-two"),)
        second = asyncio.create_task(book.commit("front"))  # noqa: TID251
        worker.release()
        await first
        assert not second.done()
        assert b"jwt-two" not in store.documents["tickets-home"]
        while not second.done():
            await asyncio.sleep(0)  # noqa: TID251
            worker.release()
        assert b"jwt-two" in store.documents["tickets-home"]

    asyncio.run(main())


def test_what_was_saved_is_what_is_read() -> None:
    async def main() -> None:
        store = MemoryStore()
        book = a_book(store)
        page = book.page("front", "binding")
        page.held, page.generation, page.life_seconds = (a_ticket(7), a_ticket(8)), 8, 300.0
        page.demand = asked(asked(None, 1_795_003_200.0), 1_795_010_000.0)
        book.change("front")
        book.ledger = quota.stopped(quota.recorded(book.ledger, NOW, 3), NOW, 60.0)
        assert await book.commit()
        other = a_book(store)
        other.open()
        assert other.ledger == book.ledger
        assert other.pages["front"].held == page.held
        read = other.pages["front"].demand
        assert read is not None
        assert list(read.hours) == pytest.approx(list(page.demand.hours), abs=1e-4)
        assert other.pages["front"].generation == 8
        assert await other.commit()
        assert json.loads(store.saved[-1][1])["pages"] == json.loads(store.saved[-2][1])["pages"]

    asyncio.run(main())


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8))
def test_any_name_and_any_ticket_survive_the_disk(entries: list[tuple[str, str]]) -> None:
    async def main() -> None:
        store = MemoryStore()
        book = a_book(store)
        for name, text in entries:
            book.page(name, "binding").held = (a_ticket(1, text),)
            book.change(name)
        await book.commit()
        other = a_book(store)
        other.open()
        assert {name: page.held for name, page in other.pages.items()} == {
            name: page.held for name, page in book.pages.items()
        }

    asyncio.run(main())


def test_a_page_of_another_door_begins_anew_but_its_generations_go_on() -> None:
    book = a_book()
    page = book.page("front", "one door")
    page.held, page.generation = (a_ticket(9),), 9
    other = book.page("front", "another door")
    assert (other.held, other.generation) == ((), 9)


def test_a_disk_that_refuses_is_told_once_and_what_was_meant_is_kept() -> None:
    async def main() -> None:
        store, events = MemoryStore(), Recorder()
        book = a_book(store, events=events)
        book.page("front", "b").held = (a_ticket(1, "precious"),)
        store.refuse = StoreUnavailable("disk full")
        assert not await book.commit("front")
        assert not await book.commit()
        assert book.unsaved
        assert book.trouble is not None
        assert len(events.of("store.unavailable")) == 1
        store.refuse = None
        assert await book.commit()
        assert b"precious" in store.documents["tickets-home"]
        assert len(events.of("store.recovered")) == 1

    asyncio.run(main())


def test_a_document_that_may_not_be_read_is_never_written_over() -> None:
    async def main() -> None:
        store = MemoryStore()
        store.documents["tickets-home"] = b"from a newer version"
        store.refuse_reads = StoreUnavailable("newer")
        clock = FakeClock()
        book = a_book(store, clock=clock)
        book.open()
        clock.advance(60)
        await book.reopen()
        assert not await book.commit()
        assert store.documents["tickets-home"] == b"from a newer version"

    asyncio.run(main())


def test_documents_that_can_be_read_again_are_gone_on_from_with_the_calls_made_since() -> None:
    async def main() -> None:
        store, clock, events = MemoryStore(), FakeClock(), Recorder()
        before = a_book(store, clock=clock)
        before.ledger = quota.recorded(before.ledger, now_of(clock), 40)
        for number in range(LEAF_PAGES + 1):
            before.page(f"door-{number}", "b").generation = 7
            await before.commit(f"door-{number}")
        store.refuse_reads = StoreUnavailable("permission")
        book = a_book(store, clock=clock, events=events)
        book.open()
        page = book.page("door-0", "b")
        page.held, page.generation = (a_ticket(5, "newest"),), 5
        book.change("door-0")
        book.ledger = quota.recorded(book.ledger, now_of(clock), 2)
        store.refuse_reads = None
        await book.reopen()
        assert not await book.commit(), "not looked at again within five seconds"
        clock.advance(6)
        await book.reopen()
        assert await book.commit()
        assert (book.trouble, len(events.of("store.recovered"))) == (None, 1)
        again = a_book(store, clock=clock)
        again.open()
        rule = quota.QuotaRule(500, 50)
        assert quota.used(again.ledger, rule, now_of(clock)) == 42
        assert len(again.pages) == LEAF_PAGES + 1
        assert (again.pages["door-0"].generation, len(again.pages["door-0"].held)) == (7, 1)

    asyncio.run(main())


def test_a_damaged_document_begins_anew_and_is_told() -> None:
    store, events = MemoryStore(), Recorder()
    store.refuse_reads = StoreDamaged("torn")
    book = a_book(store, events=events)
    book.open()
    assert book.pages == {}
    assert events.of("store.damaged")


# many tickets: leaves


def filled(store: MemoryStore, tickets: int, events: Recorder | None = None) -> Book:
    book = a_book(store, events=events)
    book.open()
    for number in range(tickets):
        book.page(f"door-{number}", "binding").held = (a_ticket(number + 1, f"jwt-{number}-"),)
        book.change(f"door-{number}")
    return book


def test_what_a_save_writes_does_not_grow_with_the_tickets() -> None:
    async def main() -> None:
        store = MemoryStore()
        book = filled(store, 20 * LEAF_PAGES)
        assert await book.commit()
        assert len(store.documents) == 20
        largest = max(len(content) for content in store.documents.values())
        store.saved.clear()
        for name in (f"door-{15 * LEAF_PAGES}", f"door-{15 * LEAF_PAGES + 1}", "door-3"):
            book.page(name, "binding").held = ()
            assert await book.commit(name)
        assert [name for name, _ in store.saved] == ["tickets15-home", "tickets15-home", "tickets-home"]
        assert all(len(content) <= largest for _, content in store.saved)

    asyncio.run(main())


def test_every_leaf_is_read_again() -> None:
    async def main() -> None:
        store = MemoryStore()
        book = filled(store, 3 * LEAF_PAGES + 1)
        await book.commit()
        other = a_book(store)
        other.open()
        assert {name: page.held for name, page in other.pages.items()} == {
            name: page.held for name, page in book.pages.items()
        }
        assert not other.unsaved

    asyncio.run(main())


def test_names_like_those_of_leaves_are_accounts_of_their_own() -> None:
    store = MemoryStore()
    store.documents = dict.fromkeys(("tickets1-home-2", "tickets1-my-home", "tickets01-home"), b"another's")
    events = Recorder()
    book = a_book(store, events=events)
    book.open()
    assert (book.pages, book.trouble, events.told) == ({}, None, [])


async def one_large_document(store: MemoryStore, tickets: int) -> None:
    """As versions wrote it that knew no leaves."""
    book = filled(store, tickets)
    book._leaves, book._dirty_leaves = [list(book.pages.values())], {0}
    for page in book.pages.values():
        page.leaf = 0
    await book.commit()
    store.documents = {"tickets-home": store.documents["tickets-home"]}
    store.saved.clear()


def test_one_large_document_of_an_earlier_version_is_read_and_divided() -> None:
    async def main() -> None:
        store = MemoryStore()
        await one_large_document(store, 2 * LEAF_PAGES + 5)
        book = a_book(store)
        book.open()
        assert book.unsaved
        assert await book.commit()
        assert [name for name, _ in store.saved] == ["tickets2-home", "tickets1-home", "tickets-home"]
        again = a_book(store)
        again.open()
        assert not again.unsaved
        assert {name: page.held[0].generation for name, page in again.pages.items()} == {
            f"door-{number}": number + 1 for number in range(2 * LEAF_PAGES + 5)
        }

    asyncio.run(main())


@pytest.mark.parametrize("saves", [0, 1, 2])
def test_a_crash_while_it_is_divided_loses_no_ticket_and_gives_none_back(saves: int) -> None:
    async def main() -> None:
        store = MemoryStore()
        await one_large_document(store, 2 * LEAF_PAGES + 5)
        book = a_book(store)
        book.open()
        last = f"door-{2 * LEAF_PAGES + 4}"
        book.pages[last].held = ()  # handed out for good, in the same save
        before = store.documents["tickets-home"]
        await book.commit(last)
        store.documents = {"tickets-home": before} | dict(store.saved[:saves])
        after = a_book(store)
        after.open()
        assert len(after.pages) == 2 * LEAF_PAGES + 5
        assert (after.pages[last].held == ()) is (saves > 0)
        assert await after.commit()
        once = a_book(store)
        once.open()
        assert not once.unsaved
        assert {name: page.held for name, page in once.pages.items()} == {
            name: page.held for name, page in after.pages.items()
        }

    asyncio.run(main())


def test_a_damaged_leaf_takes_no_other_with_it() -> None:
    async def main() -> None:
        store = MemoryStore()
        await filled(store, 2 * LEAF_PAGES + 5).commit()
        store.documents["tickets1-home"] = b"{"
        events = Recorder()
        book = a_book(store, events=events)
        book.open()
        assert [each["document"] for each in events.of("store.damaged")] == ["tickets1-home"]
        assert len(book.pages) == LEAF_PAGES + 5
        assert "door-0" in book.pages
        assert f"door-{2 * LEAF_PAGES + 4}" in book.pages

    asyncio.run(main())


def test_what_somebody_wanted_saved_who_did_not_wait_is_in_the_next_save() -> None:
    async def main() -> None:
        store, worker = MemoryStore(), GatedWorker()
        book = filled(store, LEAF_PAGES + 1)
        book._worker = worker
        last = f"door-{LEAF_PAGES}"
        impatient = asyncio.create_task(book.commit(last))  # noqa: TID251
        while not worker.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)  # noqa: TID251
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        late, worker._waiting = list(worker._waiting), type(worker._waiting)()
        book.pages["door-0"].held = ()
        commit = asyncio.create_task(book.commit("door-0"))  # noqa: TID251
        while not commit.done():
            await asyncio.sleep(0)  # noqa: TID251
            worker.release()
        assert commit.result()
        assert f"jwt-{LEAF_PAGES}-".encode() in store.documents["tickets1-home"]
        late[0]()  # the thread of the first one was slow: what it carries is old
        assert b"jwt-0-" not in store.documents["tickets-home"]

    asyncio.run(main())


def test_tickets_of_an_earlier_version_s_document_are_read() -> None:
    store = MemoryStore()
    life = [1, 301, [["boot", 50.0, 1_795_003_200.0], 300.0]]
    page = {
        "binding": "b", "held": [["jwt-one", life, 6, {}], ["jwt-two", life, 7, {"plant": {"id": "p"}}]],
        "generation": 7, "failure": None, "life_seconds": 300.0, "told": False, "learnt": None,
    }  # fmt: skip
    head = {"saved": ["boot", 50.0, None], "login": None, "failure": None}
    ledger = {"anchor": ["boot", 50.0, None], "position": 0.0, "calls": [], "before": 0, "forgiven_to": None}
    document = {"version": 1, **head, "ledger": {**ledger, "stop": None}, "pages": {"front": page}}
    store.documents["tickets-home"] = json.dumps(document).encode()
    book = a_book(store)
    book.open()
    assert [held.ticket.reveal() for held in book.pages["front"].held] == ["jwt-one", "jwt-two"]
    assert book.pages["front"].held[1] == a_ticket(7, "jwt-two")


def test_a_ticket_stands_once_in_memory_and_not_in_the_text_kept_of_its_page() -> None:
    async def main() -> None:
        store = MemoryStore()
        book = filled(store, 2)
        assert await book.commit()
        assert b"jwt" in store.documents["tickets-home"]
        assert all(page.text and "jwt" not in page.text for page in book.pages.values())

    asyncio.run(main())


def test_equal_senders_are_kept_once() -> None:
    book = a_book()
    first = book.shared_sender({"plant": {"id": "p"}, "system": "x"})
    assert book.shared_sender({"system": "x", "plant": {"id": "p"}}) is first
    assert book.shared_sender({"system": "y"}) is not first


def test_saved_while_no_clock_could_be_believed_it_still_knows_when_the_last_ticket_came() -> None:
    """A restart before the time is known would else believe a clock that is behind, and hand out what has ended."""

    async def main() -> None:
        store = MemoryStore()
        book = a_book(store)
        book.page("front", "binding").held = (a_ticket(7),)
        book.change("front")
        assert await book.commit()
        later = Book(
            "home",
            store=store,
            worker=InlineWorker(),
            now=lambda: Instant("another boot", 5.0, None),
            events=Recorder(),
        )
        later.open()
        later.change("front")
        assert await later.commit()
        last = a_book(store)
        last.open()
        assert last.saved is not None
        assert last.saved.true_seconds is None
        assert [moment.true_seconds for moment in last.moments()] == [None, a_ticket(7).life.span.start.true_seconds]

    asyncio.run(main())
