"""Blocking steps in virtual time: a step may pause for the cloud's answer, and the rest of the process goes on.

A step that pauses runs in a thread of its own, but never at the same time as the loop: each hands the other the only
right to run, so that the same seed gives the same order. Knows no service. The one invariant: one of them runs.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Died(BaseException):
    """The process ended here; nobody catches it but the drill."""


class _Step:
    """One step in its thread, and whose turn it is."""

    def __init__(self, work: Callable[[], Any], over: asyncio.Future[Any]) -> None:
        self._work = work
        self._over = over
        self._my_turn = threading.Semaphore(0)
        self._their_turn = threading.Semaphore(0)
        self._result: Any = None
        self._error: BaseException | None = None
        self._ended = False
        self._abandoned = False
        self._loop = asyncio.get_running_loop()
        self._wakes: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Run until the first pause or the end. In the loop."""
        self._thread.start()
        self._hand_over()

    def _hand_over(self) -> None:
        self._my_turn.release()
        self._their_turn.acquire()
        if not self._ended or self._over.done():
            return
        if self._error is not None:
            self._over.set_exception(self._error)
        else:
            self._over.set_result(self._result)

    def pause(self, seconds: float) -> None:
        """Let the loop run for so long. In the thread. Raises: Died."""
        self._wakes = self._loop.call_later(seconds, self._hand_over)
        self._their_turn.release()
        self._my_turn.acquire()
        if self._abandoned:
            raise Died

    def abandon(self) -> None:
        """The process has died: let the thread end. In the loop."""
        if not self._ended:
            self._abandoned = True
            if self._wakes is not None:
                self._wakes.cancel()
            self._hand_over()

    def _run(self) -> None:
        self._my_turn.acquire()
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 -- it belongs to whoever awaits
            self._error = error
        self._ended = True
        self._their_turn.release()


class StepWorker:
    """ports.Worker: steps that pause get a thread; while nothing else is about to happen a pause is a leap."""

    def __init__(self, may_leap: Callable[[], bool], leap: Callable[[float], None]) -> None:
        """`may_leap`: whether nothing else happens while the next step pauses; `leap` moves the clock."""
        self._may_leap = may_leap
        self._leap = leap
        self._steps: list[_Step] = []

    def run(self, step: Callable[[], T]) -> Awaitable[T]:
        """Do `step`; its pauses let the loop run."""
        over: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._may_leap():
            try:
                over.set_result(step())
            except BaseException as error:  # noqa: BLE001 -- it belongs to whoever awaits
                over.set_exception(error)
            return over
        thread = _Step(lambda: self._in_thread(thread, step), over)
        self._steps.append(thread)
        over.add_done_callback(lambda _: self._forget(thread))
        thread.begin()
        return over

    def _in_thread(self, thread: _Step, step: Callable[[], Any]) -> Any:
        _LOCAL.step = thread
        return step()

    def _forget(self, thread: _Step) -> None:
        if thread in self._steps:
            self._steps.remove(thread)

    def pause(self, seconds: float) -> None:
        """Called from within a step: the cloud takes so long. Raises: Died."""
        step: _Step | None = getattr(_LOCAL, "step", None)
        if step is None:
            self._leap(seconds)
        else:
            step.pause(seconds)

    def abandon(self) -> None:
        """The process has died: end its threads."""
        for step in list(self._steps):
            step.abandon()
        self._steps.clear()


_LOCAL = threading.local()
