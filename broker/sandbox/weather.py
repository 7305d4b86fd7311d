"""The weather over the sandbox's cloud: faults queued per endpoint, and hooks at the phases of an answer.

Knows no document of the cloud. Safe to use from any thread. The one invariant: a queued fault is used up by exactly the
number of requests it was queued for, in the order of queueing.

Phases of every request, in order: `before_reading` (head arrived, body unread), `before_commit` (read, nothing
decided), `after_commit` (a refresh token is rotated, a call is counted, nothing is sent), `mid_answer` (half of the
body is sent), `after_answer`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from broker.sandbox.calls import Call, Endpoint

Phase = Literal["before_reading", "before_commit", "after_commit", "mid_answer", "after_answer"]


class ConnectionCut(Exception):
    """The fault orders that the connection is reset now."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request. Without `status` the cloud's own answer is given (late, cut, with more headers).

    `commits`: the cloud does its work although `status` replaces the answer (a proxy's 502 after the fact).
    `delay_seconds` passes before the commit. `reset` and `hang` name the phase at which it happens; a hung request goes
    on at `Script.release()`, or is dropped when the cloud stops.
    """

    status: int = 0
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    commits: bool = False
    delay_seconds: float = 0.0
    reset: Phase | None = None
    hang: Phase | None = None


@dataclass(slots=True)
class _Queued:
    fault: Fault
    left: int | None  # None: until cleared


@dataclass(slots=True)
class _Hook:
    endpoint: Endpoint
    phase: Phase
    callback: Callable[[Call], Awaitable[None] | None]
    left: int | None


class Script:
    """What a test plays: `add` faults, `on` phases, `release` what hangs, `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: dict[str, deque[_Queued]] = {}
        self._hooks: list[_Hook] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._go_on = asyncio.Event()
        self._stopping = asyncio.Event()

    def add(self, endpoint: Endpoint, fault: Fault, *, times: int | None = 1) -> None:
        """Queue `fault` for the next `times` requests of `endpoint`; None: for all, until cleared."""
        with self._lock:
            self._faults.setdefault(endpoint, deque()).append(_Queued(fault, times))

    def on(
        self,
        phase: Phase,
        callback: Callable[[Call], Awaitable[None] | None],
        *,
        endpoint: Endpoint = "token",
        times: int | None = 1,
    ) -> None:
        """Call `callback` (in the cloud's thread) at this phase of the next `times` requests of `endpoint`."""
        with self._lock:
            self._hooks.append(_Hook(endpoint, phase, callback, times))

    def clear(self, endpoint: Endpoint | None = None) -> None:
        """Forget queued faults and hooks, of one endpoint or of all; what hangs already goes on hanging."""
        with self._lock:
            if endpoint is None:
                self._faults.clear()
            else:
                self._faults.pop(endpoint, None)
            self._hooks = [hook for hook in self._hooks if endpoint not in (None, hook.endpoint)]

    def pending(self, endpoint: Endpoint) -> int | None:
        """How many requests the queued faults still await; None where one of them holds until cleared."""
        with self._lock:
            counts = [queued.left for queued in self._faults.get(endpoint, ())]
        return None if None in counts else sum(count for count in counts if count is not None)

    def release(self) -> None:
        """Let every request that hangs now go on; `on` the same phase tells when one has come to hang."""
        self._in_loop(self._let_go)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the cloud, in its loop."""
        self._loop = loop

    def stop(self) -> None:
        """Called by the cloud, in its loop: whatever hangs or is delayed is cut."""
        self._stopping.set()
        self._let_go()

    def take(self, endpoint: Endpoint) -> Fault:
        """The fault of the request that has just arrived; a Fault() where there is none."""
        with self._lock:
            queue = self._faults.get(endpoint)
            if not queue:
                return Fault()
            first = queue[0]
            if first.left is not None:
                first.left -= 1
                if first.left <= 0:
                    queue.popleft()
            return first.fault

    async def reach(self, phase: Phase, call: Call, fault: Fault) -> None:
        """Play what is set for this phase. Raises: ConnectionCut."""
        for callback in self._due(phase, call.endpoint):
            result = callback(call)
            if isawaitable(result):
                await result
        if phase == "before_commit" and fault.delay_seconds:
            await self._until(self._stopping, fault.delay_seconds)
        if fault.hang == phase:
            await self._until(self._go_on, None)
        if fault.reset == phase or self._stopping.is_set():
            raise ConnectionCut

    def _due(self, phase: Phase, endpoint: Endpoint) -> list[Callable[[Call], Awaitable[None] | None]]:
        with self._lock:
            due = [hook for hook in self._hooks if (hook.phase, hook.endpoint) == (phase, endpoint)]
            for hook in due:
                if hook.left is not None:
                    hook.left -= 1
            self._hooks = [hook for hook in self._hooks if hook.left is None or hook.left > 0]
        return [hook.callback for hook in due]

    def _let_go(self) -> None:
        self._go_on.set()
        self._go_on = asyncio.Event()

    def _in_loop(self, action: Callable[[], None]) -> None:
        if self._loop is None or self._loop.is_closed():
            action()
        else:
            self._loop.call_soon_threadsafe(action)

    @staticmethod
    async def _until(event: asyncio.Event, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
