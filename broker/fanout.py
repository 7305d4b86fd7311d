"""Who hears an event: the log, the counters and the hooks.

Knows the three, not who tells. The one invariant: hooks are told in the loop, whichever thread an event comes from.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from broker.adapters.hooks import Hooks
from broker.adapters.redaction import crash_report
from broker.services.counters import Counters

if TYPE_CHECKING:
    import asyncio

    from broker.adapters.log import StandardLog


class Fanout:
    """ports.Events: the log and the hooks."""

    def __init__(self, log: StandardLog) -> None:
        self.log = log
        self.hooks = Hooks((), on_failure=self._hook_failed)
        self.counters = Counters()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def emit(self, event: str, **facts: object) -> None:
        """Tell everybody who listens; from any thread, for the steps in the worker tell things, too."""
        self.log.emit(event, **facts)
        self.counters.hear(event, facts)
        if self.loop is None or threading.get_ident() == self._thread:
            self.hooks.emit(event, **facts)
        else:
            self.loop.call_soon_threadsafe(partial(self.hooks.emit, event, **facts))

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The hooks run in this loop, which is the calling thread's."""
        self.loop, self._thread = loop, threading.get_ident()

    def bug(self, error: BaseException) -> None:
        """Tell a defect of ours, with its traceback."""
        self.log.emit("request.failed", detail=type(error).__name__, traceback=crash_report(error))

    def _hook_failed(self, event: str, detail: str) -> None:
        self.counters.hear("hook.failed", {})
        self.log.emit("hook.failed", hook_event=event, detail=detail)
