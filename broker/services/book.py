"""The book of one account: the ledger of its calls and the tickets it holds, in one sealed document.

Knows the store and the worker, no cloud. Saves are committed in groups: many changes, one write; a page that did not
change is not encoded again. The one invariant: `commit` returns when everything changed before it is on disk, or the
trouble is known.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from broker.core.demand import Demand, demand_of
from broker.core.quota import Ledger
from broker.core.secret import Secret
from broker.core.session import Mark
from broker.errors import StoreDamaged, StoreError, StoreUnavailable
from broker.services.breath import SLICE, breathe
from broker.services.documents import (
    dump,
    failure_of,
    failure_to,
    instant_of,
    instant_to,
    life_of,
    life_to,
    load,
    span_of,
    span_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.core.failure import Failure
    from broker.core.instant import Instant, Lifetime
    from broker.ports import Events, Store, Worker

SENDERS = 256  # different ones remembered, so that equal ones are kept once


@dataclass(frozen=True, slots=True)
class HeldTicket:
    """A ticket in hand."""

    ticket: Secret
    life: Lifetime
    generation: int
    sender: Mapping[str, object]


@dataclass(slots=True)
class Page:
    """What the book keeps of one ticket: those in hand, oldest first, and what is remembered about it.

    Who changes something says so to the book: `book.change(name)`.
    `binding` is a digest of account, plant and device: tickets of another door are not taken over.
    """

    binding: str
    held: tuple[HeldTicket, ...] = ()
    generation: int = 0
    failure: Failure | None = None
    life_seconds: float | None = None
    demand: Demand | None = None
    text: str | None = None  # as it stands in the document; None since it changed


class Book:
    """Keeps ledger and tickets of one account, and saves them in groups."""

    def __init__(
        self, account: str, *, store: Store, worker: Worker, now: Callable[[], Instant], events: Events
    ) -> None:
        self.document = f"tickets-{account}"
        self.ledger = Ledger(now())
        self.failure: Failure | None = None
        self.pages: dict[str, Page] = {}
        self.trouble: StoreError | None = None
        self.saved: Instant | None = None
        self.login_mark: Mark | None = None  # as the document had it
        self.mark_login: Callable[[], Mark | None] = lambda: None
        self._store = store
        self._worker = worker
        self._now = now
        self._events = events
        self._changes = 0
        self._dirty: dict[str, None] = {}
        self._senders: dict[str, Mapping[str, object]] = {}
        self._written = 0
        self._lock = asyncio.Lock()
        self._read_only = False

    @property
    def unsaved(self) -> bool:
        """Whether the disk does not know everything yet."""
        return self._written < self._changes

    def open(self) -> None:
        """Read the document. Blocking. A damaged one was set aside and the book begins anew; calls made are unknown."""
        try:
            content = self._store.load(self.document)
            if content is not None:
                self._decode(load(content))
        except StoreDamaged as error:
            self._events.emit("store.damaged", document=self.document, detail=error.message)
        except StoreUnavailable as error:
            self.trouble = error
            self._read_only = True
            self._events.emit("store.unavailable", document=self.document, detail=error.message)

    def page(self, name: str, binding: str) -> Page:
        """The page of a ticket, a new one where there is none for this binding (generations go on)."""
        page = self.pages.get(name)
        if page is None or page.binding != binding:
            page = self.pages[name] = Page(binding, generation=0 if page is None else page.generation)
            self.change(name)
        return page

    def shared_sender(self, sender: Mapping[str, object]) -> Mapping[str, object]:
        """The same sender, as one object for all tickets that come with it."""
        if len(self._senders) >= SENDERS:
            self._senders.clear()
        return self._senders.setdefault(json.dumps(sender, sort_keys=True), sender)

    def change(self, name: str | None = None) -> None:
        """Something changed that the next save takes along; `name`: on the page of this ticket."""
        self._changes += 1
        if name is not None:
            self._dirty[name] = None

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
        taken = self._changes
        await self._encode_pages()
        head, pages = self._encode_head(), [_text_of(page) for page in self.pages.values()]
        try:
            await self._worker.run(lambda: self._store.save(self.document, _joined(head, pages)))
        except StoreError as error:
            if self.trouble is None:
                self._events.emit("store.unavailable", document=self.document, detail=error.message)
            self.trouble = error
            return False
        if self.trouble is not None:
            self._events.emit("store.recovered", document=self.document)
        self.trouble = None
        self._written = taken
        return True

    async def _encode_pages(self) -> None:
        """Encode the pages that changed, in slices: others may change more meanwhile."""
        done = 0
        while self._dirty:
            name = next(iter(self._dirty))
            del self._dirty[name]
            if name in self.pages:
                self.pages[name].text = _page_text(name, self.pages[name])
            done += 1
            if done % SLICE == 0:
                await breathe()

    def _encode_head(self) -> bytes:
        mark = self.mark_login()
        return dump(
            {
                "saved": instant_to(self._now()),
                "login": None if mark is None else [mark.login_id, mark.saves],
                "ledger": _ledger_to(self.ledger),
                "failure": failure_to(self.failure),
            }
        )

    def _decode(self, data: dict[str, Any]) -> None:
        try:
            self.saved = instant_of(data["saved"])
            mark = data["login"]
            self.login_mark = None if mark is None else Mark(str(mark[0]), int(mark[1]))
            self.ledger = _ledger_of(data["ledger"])
            self.failure = failure_of(data["failure"])
            self.pages = {name: _page_of(page) for name, page in data["pages"].items()}
            for name, page in self.pages.items():
                page.text = _page_text(name, page)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StoreDamaged(f"book of tickets: not understood ({type(error).__name__})") from None


def _ledger_to(ledger: Ledger) -> dict[str, Any]:
    forgiven = ledger.forgiven_to
    return {
        "anchor": instant_to(ledger.anchor),
        "position": ledger.position,
        "calls": [list(entry) for entry in ledger.calls],
        "before": ledger.before,
        "forgiven_to": None if forgiven == float("-inf") else forgiven,
        "stop": span_to(ledger.stop),
    }


def _ledger_of(value: Any) -> Ledger:
    forgiven = value["forgiven_to"]
    return Ledger(
        anchor=instant_of(value["anchor"]),
        position=float(value["position"]),
        calls=tuple((float(position), int(total)) for position, total in value["calls"]),
        before=int(value["before"]),
        forgiven_to=float("-inf") if forgiven is None else float(forgiven),
        stop=span_of(value["stop"]),
    )


def _joined(head: bytes, pages: list[str]) -> bytes:
    """The document: the head's fields, and the pages as they were encoded one by one."""
    return b"".join((head[:-1], b',"pages":{', ",".join(pages).encode(), b"}}"))


def _text_of(page: Page) -> str:
    assert page.text is not None, "changed without telling the book"
    return page.text


def _page_text(name: str, page: Page) -> str:
    return f"{json.dumps(name)}:{json.dumps(_page_to(page), separators=(',', ':'))}"


def _page_to(page: Page) -> dict[str, Any]:
    return {
        "binding": page.binding,
        "held": [[held.ticket.reveal(), life_to(held.life), held.generation, dict(held.sender)] for held in page.held],
        "generation": page.generation,
        "failure": failure_to(page.failure),
        "life_seconds": page.life_seconds,
        "learnt": None if page.demand is None else page.demand.row(),
    }


def _page_of(value: Any) -> Page:
    return Page(
        binding=value["binding"],
        held=tuple(HeldTicket(Secret(t), life_of(life), int(g), sender) for t, life, g, sender in value["held"]),
        generation=int(value["generation"]),
        failure=failure_of(value["failure"]),
        life_seconds=None if value["life_seconds"] is None else float(value["life_seconds"]),
        demand=demand_of(value["learnt"]) if value["learnt"] else None,
    )
