"""Who hears an event: the log, the counters and the hooks.

Knows the three, not who tells. The one invariant: hooks are told in the loop, whichever thread an event comes from;
what becomes of the hooks is not told to them but kept for the status.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from broker.adapters.hooks import Hooks
from broker.adapters.redaction import crash_report
from broker.services.counters import Counters
from broker.services.hook_health import HookHealth

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from broker.adapters.log import StandardLog
    from broker.ports import Clock


class Fanout:
    """ports.Events: the log and the hooks."""

    def __init__(self, log: StandardLog, clock: Clock) -> None:
        self.log = log
        self.hook_health = HookHealth(lambda: clock.read().wall_seconds)
        self.hooks = Hooks((), on_failure=self._hook_failed, on_success=self.hook_health.worked)
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

    def run_hooks(self, command: Sequence[str]) -> None:
        """Run this command from now on; what was wrong with another one is over."""
        if tuple(command) != self.hooks.command:
            self.hooks.use(command)
            self.hook_health.worked()

    def bug(self, error: BaseException) -> None:
        """Tell a defect of ours, with its traceback."""
        self.emit("request.failed", detail=type(error).__name__, traceback=crash_report(error))

    def _hook_failed(self, event: str, detail: str) -> None:
        self.emit("hook.failed", hook_event=event, detail=detail)
        self.hook_health.failed(self.hooks.command[0], event, detail)
