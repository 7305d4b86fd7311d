"""The book of one account: the ledger of its calls and the tickets it holds, in sealed documents.

Knows the store and the worker, no cloud. The first document has the ledger and the first LEAF_PAGES tickets, each
further one as many tickets more, so that a save does not grow with the tickets. Saves are committed in groups: many
changes, one write; a page that did not change is not encoded again. The one invariant: `commit` returns when
everything changed before it is on disk, or the trouble is known.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.core import quota
from broker.core.quota import Ledger
from broker.core.session import Mark
from broker.errors import StoreDamaged, StoreError, StoreUnavailable
from broker.services.breath import SLICE, breathe
from broker.services.documents import dump, failure_of, failure_to, instant_of, instant_to, read
from broker.services.ledger_text import LedgerText, ledger_of
from broker.services.page import HeldTicket, Page, page_of, page_text, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.ports import Events, Store, Worker

Holding = tuple[HeldTicket, ...]
Content = tuple[str, bytes, list[str], list[Holding]]  # of a document: its name, head, and its pages' texts and tickets
REOPEN_SECONDS = 5.0  # how often documents that could not be read are looked at again
SENDERS = 16  # different ones remembered, so that equal ones are kept once
LEAF_PAGES = 64  # tickets a document: some 50 kB, which is within the place that a document takes from the start


class Book:
    """Keeps ledger and tickets of one account, and saves them in groups."""

    def __init__(
        self, account: str, *, store: Store, worker: Worker, now: Callable[[], Instant], events: Events
    ) -> None:
        self.ledger = Ledger(now())
        self._ledger_text = LedgerText()
        self.failure: Failure | None = None
        self.pages: dict[str, Page] = {}
        self.trouble: StoreError | None = None
        self.saved: Instant | None = None
        self.login_mark: Mark | None = None  # as the document had it
        self.mark_login: Callable[[], Mark | None] = lambda: None
        self._account = account
        self._store = store
        self._worker = worker
        self._now = now
        self._events = events
        self._changes = 0
        self._written = 0
        self._leaves: list[list[Page]] = [[]]
        self._dirty: dict[str, None] = {}  # pages to be encoded
        self._dirty_leaves: set[int] = set()  # documents to be written
        self._senders: list[Mapping[str, object]] = []  # those met last come first
        self._lock = asyncio.Lock()
        self._saving = threading.Lock()
        self._saved_last = 0
        self._read_only = False
        self._looked = now()

    @property
    def unsaved(self) -> bool:
        """Whether the disk does not know everything yet."""
        return self._written < self._changes

    # reading

    def open(self) -> None:
        """Read the documents. Blocking. A damaged one was set aside and begins anew; calls made are unknown then."""
        try:
            self.read()
        except StoreUnavailable as error:
            self.trouble = error
            self._read_only = True
            self._events.emit("store.unavailable", document=self._document(0), detail=error.message)

    def read(self) -> None:
        """Read the documents into an empty book. Blocking. Raises: StoreUnavailable."""
        for leaf in (0, *self._further_leaves()):
            self._open_leaf(leaf)
        self._spread()

    def moments(self) -> list[Instant]:
        """When it was saved and when the last ticket in it came: it is not earlier than that now.

        Saved while no clock could be believed, the first tells no time; the second does.
        """
        came = [held.life.span.start for page in self.pages.values() for held in page.held]
        last = max(came, key=lambda each: each.true_seconds or 0.0, default=None)
        return [moment for moment in (self.saved, last) if moment is not None]

    async def reopen(self) -> None:
        """Look again at documents that could not be read: the mode is mended, the disk is back."""
        if not self._read_only:
            return
        now = self._now()
        elapsed = now.since(self._looked)
        if elapsed is not None and elapsed < REOPEN_SECONDS:
            return
        self._looked = now
        found = Book(self._account, store=self._store, worker=self._worker, now=self._now, events=self._events)
        try:
            await self._worker.run(found.read)
        except StoreUnavailable as error:
            self.trouble = error
            return
        self._take_over(found)

    def _take_over(self, found: Book) -> None:
        """Go on from the ledger of before, with the calls made since; tickets of before are given up."""
        now, since = self._now(), self.ledger
        self.ledger = quota.recorded(found.ledger, now, quota.calls_ever(since))
        if since.stop is not None:
            self.ledger = quota.stopped(self.ledger, now, quota.stopped_for(since, now))
        self.failure = self.failure or found.failure
        for name, page in found.pages.items():
            mine = self.pages.get(name)
            if mine is None:
                self._put(name, page, self._leaf_with_room())
                continue
            mine.generation = max(mine.generation, page.generation)
            mine.told = mine.told or page.told
            if mine.binding == page.binding:
                mine.demand, mine.life_seconds = mine.demand or page.demand, mine.life_seconds or page.life_seconds
            self.change(name)
        self._leaves += [[] for _ in range(len(found._leaves) - len(self._leaves))]
        self._dirty_leaves.update(range(len(self._leaves)))
        self._read_only = False
        self.change()

    def _further_leaves(self) -> list[int]:
        ours = re.compile(rf"tickets([1-9][0-9]*)-{re.escape(self._account)}")
        return sorted(int(found[1]) for found in map(ours.fullmatch, self._store.names()) if found)

    def _document(self, leaf: int) -> str:
        """`tickets-NAME`, then `tickets1-NAME` and so on."""
        return f"tickets{leaf or ''}-{self._account}"

    def _open_leaf(self, leaf: int) -> None:
        self._leaves += [[] for _ in range(leaf + 1 - len(self._leaves))]
        try:
            pages = read(self._store, self._document(leaf), partial(self._decoded, leaf))
        except StoreDamaged as error:
            self._events.emit("store.damaged", document=self._document(leaf), detail=error.message)
            return
        for name, page in (pages or {}).items():
            page.held = tuple(replace(held, sender=self.shared_sender(held.sender)) for held in page.held)
            page.text = page_text(name, page)
            self._put(name, page, leaf)

    def _decoded(self, leaf: int, data: dict[str, Any]) -> dict[str, Page]:
        pages = {sys.intern(name): page_of(page) for name, page in data["pages"].items()}  # the configuration's own
        if leaf == 0:
            self._decode_head(data)
        return pages

    def _decode_head(self, data: dict[str, Any]) -> None:
        self.saved = instant_of(data["saved"])
        mark = data["login"]
        self.login_mark = None if mark is None else Mark(str(mark[0]), int(mark[1]))
        self.ledger = ledger_of(data["ledger"])
        self.failure = failure_of(data["failure"])

    def _put(self, name: str, page: Page, leaf: int) -> None:
        """The page stands in this document; a copy in an earlier one was left by a move that a crash interrupted."""
        before = self.pages.get(name)
        if before is not None:
            self._leaves[before.leaf] = [each for each in self._leaves[before.leaf] if each is not before]
            self._dirty_leaves.add(before.leaf)
        self.pages[name], page.leaf = page, leaf
        self._leaves[leaf].append(page)

    def _spread(self) -> None:
        """Earlier versions kept all tickets in the first document: those beyond its measure move on."""
        self._leaves[0], surplus = self._leaves[0][:LEAF_PAGES], self._leaves[0][LEAF_PAGES:]
        for page in surplus:
            page.leaf = self._leaf_with_room()
            self._leaves[page.leaf].append(page)
            self._dirty_leaves.update((0, page.leaf))
            self._changes += 1

    def _leaf_with_room(self) -> int:
        leaf = next((leaf for leaf, pages in enumerate(self._leaves) if len(pages) < LEAF_PAGES), len(self._leaves))
        if leaf == len(self._leaves):
            self._leaves.append([])
        return leaf

    # what changes

    def page(self, name: str, binding: str) -> Page:
        """The page of a ticket, a new one where there is none for this binding (generations and news go on)."""
        page = self.pages.get(name)
        if page is None or page.binding != binding:
            leaf = page.leaf if page is not None else self._leaf_with_room()
            before = page or Page(binding)
            page = Page(binding, generation=before.generation, told=before.told)
            self._put(name, page, leaf)
            self.change(name)
        return page

    def shared_sender(self, sender: Mapping[str, object]) -> Mapping[str, object]:
        """The same sender, as one object for all tickets that come with it."""
        for number, known in enumerate(self._senders):
            if known == sender:
                if number > 0:
                    self._senders.insert(0, self._senders.pop(number))
                return known
        self._senders = [sender, *self._senders[: SENDERS - 1]]
        return sender

    def change(self, name: str | None = None) -> None:
        """Something changed that the next save takes along; `name`: on the page of this ticket."""
        self._changes += 1
        if name is None:
            self._dirty_leaves.add(0)
        else:
            self._dirty_leaves.add(self.pages[name].leaf)
            self._dirty[name] = None

    # saving

    async def commit(self, name: str | None = None) -> bool:
        """Save everything changed so far; False where the disk refuses (kept, and tried again at the sweep)."""
        self.change(name)
        wanted = self._changes
        async with self._lock:
            if self._written >= wanted:
                return True
            return await self._write()

    async def _write(self) -> bool:
        if self._read_only:
            return False
        await self._encode_pages()
        taken, leaves = self._changes, sorted(self._dirty_leaves, reverse=True)  # a page that moves is never in none
        self._dirty_leaves.clear()
        contents = [self._content(leaf) for leaf in leaves]
        try:
            await self._worker.run(lambda: self._save(taken, contents))
            self._written = taken
        except StoreError as error:
            if self.trouble is None:
                self._events.emit("store.unavailable", document=self._document(0), detail=error.message)
            self.trouble = error
            return False
        finally:
            if self._written < taken:  # refused, or whoever waited was cancelled
                self._dirty_leaves.update(leaves)
        if self.trouble is not None:
            self._events.emit("store.recovered", document=self._document(0))
        self.trouble = None
        return True

    def _save(self, taken: int, contents: list[Content]) -> None:
        """In a worker thread. One whose waiter was cancelled may be overtaken by the next, which has all of it."""
        with self._saving:
            if taken < self._saved_last:
                return
            for document, head, texts, holdings in contents:
                members = written(texts, holdings).encode()
                self._store.save(document, b"".join((head[:-1], b',"pages":{', members, b"}}")))
            self._saved_last = taken

    async def _encode_pages(self) -> None:
        """Encode the pages that changed, in slices: others may change more meanwhile."""
        done = 0
        while self._dirty:
            name = next(iter(self._dirty))
            del self._dirty[name]
            self.pages[name].text = page_text(name, self.pages[name])
            done += 1
            if done % SLICE == 0:
                await breathe()

    def _content(self, leaf: int) -> Content:
        """What the document is by now; those who change a page meanwhile replace what it holds."""
        pages = self._leaves[leaf]
        texts = [page.text for page in pages]
        assert all(texts), "changed without telling the book"
        return self._document(leaf), self._head(leaf), texts, [page.held for page in pages]

    def _head(self, leaf: int) -> bytes:
        if leaf > 0:
            return dump({})
        mark = self.mark_login()
        head = dump(
            {
                "saved": instant_to(self._now()),
                "login": None if mark is None else [mark.login_id, mark.saves],
                "failure": failure_to(self.failure),
            }
        )
        return b"".join((head[:-1], b',"ledger":', self._ledger_text.of(self.ledger).encode(), b"}"))
