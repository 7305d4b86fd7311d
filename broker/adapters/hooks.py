"""The operator's command, run for events: facts in BROKER_* variables, one run at a time, in the order of the events.

Knows the names of events, no service. A waiting event gives way to a later one of the same kind and subject. The one
invariant: a hook that fails, hangs or floods costs nobody but itself, and is reported.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.adapters.disk import in_words
from broker.adapters.hook_words import sentence
from broker.events import check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LIMIT_SECONDS = 10.0
LONGEST_QUEUE = 100
LONGEST_FACT = 1000
KEPT = ("PATH", "HOME", "LANG")

_Subject = tuple[str, str]


class Hooks:
    """Queues events (`emit`, from the loop) and runs `command` for each (`run`, a task of the application).

    `on_failure(event, detail)` hears of every run that failed and every event that was dropped, `on_success` of
    every run that ended well.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_failure: Callable[[str, str], None],
        *,
        on_success: Callable[[], None] = lambda: None,
        environment: Mapping[str, str] = os.environ,
        limit_seconds: float = LIMIT_SECONDS,
        longest_queue: int = LONGEST_QUEUE,
    ) -> None:
        self.command = tuple(command)
        self._on_failure = on_failure
        self._on_success = on_success
        self._kept = {name: environment[name] for name in KEPT if name in environment}
        self._limit_seconds = limit_seconds
        self._longest_queue = longest_queue
        self._waiting: dict[_Subject, dict[str, str]] = {}
        self._arrived = asyncio.Event()
        self._closing = False

    def emit(self, event: str, **facts: object) -> None:
        """Queue an event, where it is one that hooks are told of. Secrets show as fingerprints, as everywhere."""
        if not self.command or not check(event, facts).hooks:
            return
        variables = {f"BROKER_{name.upper()}": _text(value) for name, value in facts.items() if value is not None}
        subject = (
            event,
            "/".join(variables.get(f"BROKER_{kind}", "") for kind in ("ACCOUNT", "TICKET", "DOCUMENT", "SUBJECT")),
        )
        self._waiting.pop(subject, None)  # the newer one goes to the end: the order is that of the newest news
        self._waiting[subject] = {"BROKER_EVENT": event, "BROKER_TEXT": _text(sentence(event, facts)), **variables}
        if len(self._waiting) > self._longest_queue:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self._on_failure(oldest[0], f"dropped: {self._longest_queue} events are waiting for the hook")
        self._arrived.set()

    async def run(self) -> None:
        """Run the command for each event, until closed and nothing waits. Cancelled: a run under way is killed."""
        try:
            while self._waiting or not self._closing:
                await self._arrived.wait()
                self._arrived.clear()
                await self._drain()
        finally:
            for event, _ in self._waiting:
                self._on_failure(event, "not told: the broker had to stop")
            self._waiting.clear()

    def close(self) -> None:
        """Let `run` end once what is waiting was told."""
        self._closing = True
        self._arrived.set()

    def use(self, command: Sequence[str]) -> None:
        """Run this command from now on; what waits is told by it, or by nobody where there is none."""
        self.command = tuple(command)
        if not self.command:
            self._waiting.clear()

    async def _drain(self) -> None:
        while self._waiting:
            (event, _), variables = next(iter(self._waiting.items()))
            del self._waiting[next(iter(self._waiting))]
            command = self.command
            try:
                failure = await self._call(command, variables)
            except asyncio.CancelledError:
                if command == self.command:
                    self._on_failure(event, f"{command[0]} was killed: the broker had to stop")
                raise
            if command != self.command:
                continue  # replaced meanwhile: it is nobody's trouble any more
            if failure is None:
                self._on_success()
            else:
                self._on_failure(event, failure)

    async def _call(self, command: tuple[str, ...], variables: Mapping[str, str]) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**self._kept, **variables},
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"{command[0]} could not be started: {in_words(error)}"
        try:
            async with asyncio.timeout(self._limit_seconds):
                status = await process.wait()
        except TimeoutError:
            return f"{command[0]} took longer than {self._limit_seconds:g} s and was killed"
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return None if status == 0 else f"{command[0]} {_ending(status)}"


def _ending(status: int) -> str:
    return f"exited with {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"


def _text(value: object) -> str:
    return str(value).replace("\0", "")[:LONGEST_FACT]
