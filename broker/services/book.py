"""The book of one account: the ledger of its calls and the tickets it holds, in one sealed document.

Knows the store and the worker, no cloud. Saves are committed in groups: many changes, one write. The one invariant:
`commit` returns when everything changed before it is on disk, or the trouble is known.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.core.quota import Ledger
from broker.core.secret import Secret
from broker.core.session import Mark
from broker.errors import StoreDamaged, StoreError, StoreUnavailable
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

    `binding` is a digest of account, plant and device: tickets of another door are not taken over.
    """

    binding: str
    held: tuple[HeldTicket, ...] = ()
    generation: int = 0
    failure: Failure | None = None
    life_seconds: float | None = None
    learnt: dict[str, Any] = field(default_factory=dict)


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
        return page

    def change(self) -> None:
        """Something changed that the next save takes along."""
        self._changes += 1

    async def commit(self) -> bool:
        """Save everything changed so far; False where the disk refuses (kept, and tried again at the sweep)."""
        self._changes += 1
        wanted = self._changes
        async with self._lock:
            if self._written >= wanted:
                return True
            return await self._write()

    async def _write(self) -> bool:
        if self._read_only:
            return False
        taken, content = self._changes, self._encode()
        try:
            await self._worker.run(lambda: self._store.save(self.document, content))
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

    def _encode(self) -> bytes:
        mark = self.mark_login()
        return dump(
            {
                "saved": instant_to(self._now()),
                "login": None if mark is None else [mark.login_id, mark.saves],
                "ledger": _ledger_to(self.ledger),
                "failure": failure_to(self.failure),
                "pages": {name: _page_to(page) for name, page in self.pages.items()},
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
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StoreDamaged(f"book of tickets: not understood ({type(error).__name__})") from None


def _ledger_to(ledger: Ledger) -> dict[str, Any]:
    forgiven = ledger.forgiven_to
    return {
        "anchor": instant_to(ledger.anchor),
        "position": ledger.position,
        "calls": [list(entry) for entry in ledger.calls],
        "forgiven_to": None if forgiven == float("-inf") else forgiven,
        "stop": span_to(ledger.stop),
    }


def _ledger_of(value: Any) -> Ledger:
    forgiven = value["forgiven_to"]
    return Ledger(
        anchor=instant_of(value["anchor"]),
        position=float(value["position"]),
        calls=tuple((float(position), int(count)) for position, count in value["calls"]),
        forgiven_to=float("-inf") if forgiven is None else float(forgiven),
        stop=span_of(value["stop"]),
    )


def _page_to(page: Page) -> dict[str, Any]:
    return {
        "binding": page.binding,
        "held": [[held.ticket.reveal(), life_to(held.life), held.generation, dict(held.sender)] for held in page.held],
        "generation": page.generation,
        "failure": failure_to(page.failure),
        "life_seconds": page.life_seconds,
        "learnt": page.learnt,
    }


def _page_of(value: Any) -> Page:
    return Page(
        binding=value["binding"],
        held=tuple(HeldTicket(Secret(t), life_of(life), int(g), sender) for t, life, g, sender in value["held"]),
        generation=int(value["generation"]),
        failure=failure_of(value["failure"]),
        life_seconds=None if value["life_seconds"] is None else float(value["life_seconds"]),
        learnt=dict(value["learnt"]),
    )
