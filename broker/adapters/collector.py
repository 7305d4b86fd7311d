"""Python's garbage collector in a process that lives long: what outlives a full collection is not looked at again.

Otherwise every full collection goes over all that ten thousand tickets are made of, and holds the loop for 25 ms
(seen). Frozen objects are freed like any other when nothing refers to them; only a cycle that was alive at a full
collection and is dropped later stays. The one invariant: a collection takes only as long as what came since the last.
"""

from __future__ import annotations

import gc
from typing import Any

THRESHOLDS = (50, 3, 1)
"""Python counts objects made less objects freed: where tickets replace tickets, thousands of new ones can come before
the first threshold is met, and the full collection that goes through them took 6 to 9 ms with (100, 5, 2). With
(10, 4, 1) every burst begins one, which costs as much as it saves."""


class Collector:
    """From `settle` to `give_back` the process's collector is ours."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()

    def settle(self) -> None:
        """What is here stays, and is not gone through now: little of it is garbage, and a start would wait for it."""
        if self._collected not in gc.callbacks:
            gc.callbacks.append(self._collected)
        gc.set_threshold(*THRESHOLDS)
        gc.freeze()
        gc.collect()  # Python puts the next full one off until a quarter of what this one left has come: of nothing

    def give_back(self) -> None:
        """As Python has it."""
        if self._collected in gc.callbacks:
            gc.callbacks.remove(self._collected)
            gc.set_threshold(*self._before)
            gc.unfreeze()

    def _collected(self, phase: str, about: dict[str, Any]) -> None:
        if phase == "stop" and about["generation"] == len(THRESHOLDS) - 1:
            gc.freeze()
