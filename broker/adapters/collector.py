"""Python's garbage collector in a process that lives long: what outlives a full collection is not looked at again.

Otherwise every full collection goes over all that ten thousand tickets are made of, and holds the loop for 25 ms
(seen). Frozen objects are freed like any other when nothing refers to them; only a cycle that was alive at a full
collection and is dropped later stays. The one invariant: a collection takes only as long as what came since the last.
"""

from __future__ import annotations

import gc
from typing import Any

THRESHOLDS = (50, 3, 1)
FLIGHTS = 64
"""Python counts objects made less objects freed: where tickets replace tickets, thousands of new ones can come before
a threshold is met, and the collections that go through them held the loop for 6 to 14 ms. So there is one besides
after so many begins and ends of flights, each of which makes a dozen objects or two."""


class Collector:
    """From `settle` to `give_back` the process's collector is ours."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._flights = 0

    def settle(self) -> None:
        """What is here stays, and is not gone through now: little of it is garbage, and a start would wait for it."""
        if self._collected not in gc.callbacks:
            gc.callbacks.append(self._collected)
        gc.set_threshold(*THRESHOLDS)
        gc.freeze()
        gc.collect()  # Python puts the next full one off until a quarter of what this one left has come: of nothing

    def flown(self, _flight: object = None) -> None:
        """A flight begins or ends: what some dozens leave is gone through before it is much."""
        self._flights += 1
        if self._flights >= FLIGHTS:
            self._flights = 0
            gc.collect()

    def give_back(self) -> None:
        """As Python has it."""
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)
            gc.set_threshold(*self._before)
            gc.unfreeze()

    def _collected(self, phase: str, about: dict[str, Any]) -> None:
        if phase == "stop" and about["generation"] == len(THRESHOLDS) - 1:
            gc.freeze()
