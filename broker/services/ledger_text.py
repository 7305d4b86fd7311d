"""How the ledger of calls stands in the book's document, and the texts of its slots, kept from one save to the next.

Knows the core's values, no store. A day has hundreds of slots, and a call adds one: the others are not encoded again.
The one invariant: `ledger_of` makes of what `LedgerText.of` wrote the same ledger, its positions in whole seconds.
"""

from __future__ import annotations

import json
import math
from collections import deque
from typing import Any

from broker.core.quota import Ledger
from broker.services.documents import instant_of, instant_to, span_of, span_to

_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)
Slot = tuple[float, int]


class LedgerText:
    """Encodes one account's ledgers, each of which was made from the one before: slots change at the ends only."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque()  # those that `_texts` stand for
        self._texts: deque[str] = deque()

    def of(self, ledger: Ledger) -> str:
        """The ledger as JSON."""
        forgiven = ledger.forgiven_to
        rest = {
            "anchor": instant_to(ledger.anchor),
            "position": ledger.position,
            "before": ledger.before,
            "forgiven_to": None if forgiven == -math.inf else forgiven,
            "stop": span_to(ledger.stop),
        }
        self._follow(ledger.calls)
        return f'{_ENCODER.encode(rest)[:-1]},"calls":[{",".join(self._texts)}]}}'

    def _follow(self, calls: tuple[Slot, ...]) -> None:
        """Drop the slots that are gone at either end, and encode those that came; another ledger shares none."""
        slots, texts = self._slots, self._texts
        while slots and (not calls or slots[0] is not calls[0]):
            slots.popleft()
            texts.popleft()
        while slots and (len(slots) > len(calls) or slots[-1] is not calls[len(slots) - 1]):
            slots.pop()
            texts.pop()
        for slot in calls[len(slots) :]:
            position, total = slot
            slots.append(slot)
            texts.append(f"[{math.ceil(position)},{total}]")  # slots end at whole seconds


def ledger_of(value: Any) -> Ledger:
    """The reverse. Raises: KeyError, TypeError, ValueError, IndexError."""
    forgiven = value["forgiven_to"]
    return Ledger(
        anchor=instant_of(value["anchor"]),
        position=float(value["position"]),
        calls=tuple((float(position), int(total)) for position, total in value["calls"]),
        before=int(value["before"]),
        forgiven_to=-math.inf if forgiven is None else float(forgiven),
        stop=span_of(value["stop"]),
    )
