"""What the book keeps of one ticket, and how it stands in the document.

Knows the core's values, no store. What a page's tickets and their senders say is not kept a second time as text: it
joins the rest when the document is written. The one invariant: `page_of` makes of what `written` wrote the same page.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any

from broker.core.demand import Demand, demand_of
from broker.core.secret import Secret
from broker.services.documents import failure_of, failure_to, life_of, life_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from broker.config import TicketConfig
    from broker.core.failure import Failure
    from broker.core.instant import Lifetime

_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


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
    told: bool = False  # that it is unavailable: a restart is no news, and the recovery after one is
    text: str = ""  # as it stands in the document, but for the tickets and senders; the book's own
    leaf: int = 0  # in which document; the book's own


def binding_of(config: TicketConfig) -> str:
    """A digest of the door that a ticket opens."""
    text = f"{config.account}\x1f{config.plant_id}\x1f{config.device_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def page_text(name: str, page: Page) -> str:
    """The page as a member of the document's object of pages, but for its last brace and what `written` adds."""
    value = {
        "binding": page.binding,
        "held": [[life_to(held.life), held.generation] for held in page.held],
        "generation": page.generation,
        "failure": failure_to(page.failure),
        "life_seconds": page.life_seconds,
        "told": page.told,
        "learnt": None if page.demand is None else page.demand.row(),
    }
    return f"{_ENCODER.encode(name)}:{_ENCODER.encode(value)[:-1]}"


def written(texts: Iterable[str], holdings: Iterable[tuple[HeldTicket, ...]]) -> str:
    """The document's members of some pages: of each its text, and what it holds."""
    senders: dict[int, str] = {}
    members = []
    for text, all_held in zip(texts, holdings, strict=True):
        tickets = [f"[{quoted(held.ticket.reveal())},{_sender(senders, held)}]" for held in all_held]
        members.append(f'{text},"tickets":[{",".join(tickets)}]}}')
    return ",".join(members)


def _sender(known: dict[int, str], held: HeldTicket) -> str:
    """Encoded once for all tickets that share it."""
    text = known.get(id(held.sender))
    if text is None:
        text = known[id(held.sender)] = _ENCODER.encode(dict(held.sender))
    return text


def page_of(value: Any) -> Page:
    """The reverse. Raises: KeyError, TypeError, ValueError, IndexError."""
    return Page(
        binding=value["binding"],
        held=tuple(_held_of(value)),
        generation=int(value["generation"]),
        failure=failure_of(value["failure"]),
        life_seconds=None if value["life_seconds"] is None else float(value["life_seconds"]),
        demand=demand_of(value["learnt"]) if value["learnt"] else None,
        told=bool(value.get("told")),  # not known to earlier versions
    )


def _held_of(value: Any) -> Iterator[HeldTicket]:
    if "tickets" not in value:  # an earlier version's
        for ticket, life, generation, sender in value["held"]:
            yield HeldTicket(Secret(ticket), life_of(life), int(generation), sender)
        return
    for (life, generation), (ticket, sender) in zip(value["held"], value["tickets"], strict=True):
        yield HeldTicket(Secret(ticket), life_of(life), int(generation), sender)
