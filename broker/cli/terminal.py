"""Terminal: the process as a command sees it: standard streams, environment, clocks, waiting.

Knows no command. The one invariant: results go to stdout and nothing else does.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO


class Terminal:
    """Standard streams and environment of one run; tests give their own."""

    def __init__(self, stdin: TextIO, stdout: TextIO, stderr: TextIO, environment: Mapping[str, str]) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.environment = environment

    @classmethod
    def of_process(cls) -> Terminal:
        """The real one."""
        return cls(sys.stdin, sys.stdout, sys.stderr, os.environ)

    def result(self, text: str) -> None:
        """Print a result: one text with a newline, at once."""
        print(text, file=self.stdout, flush=True)

    def document(self, document: object, *, indent: int | None = 2) -> None:
        """Print a result as JSON; indent None: on one line."""
        import json

        self.result(json.dumps(document, indent=indent, ensure_ascii=False))

    def size(self) -> tuple[int, int]:
        """Columns and lines of the screen that stderr is shown on; (0, 0): it is none."""
        try:
            columns, lines = os.get_terminal_size(self.stderr.fileno())
        except (OSError, ValueError):
            return 0, 0
        return columns, lines

    def note(self, text: str) -> None:
        """Tell a person something that is no result."""
        print(text, file=self.stderr, flush=True)

    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward."""
        return time.monotonic()

    def now(self) -> float:
        """Unix seconds, for showing times only."""
        return time.clock_gettime(time.CLOCK_REALTIME)

    def pause(self, seconds: float) -> None:
        """Let time pass between two looks at the broker."""
        import select

        select.select([], [], [], seconds)

    def can_read(self, seconds: float) -> bool:
        """Whether stdin has input, or its end, within so many seconds."""
        import select

        return bool(select.select([self.stdin.fileno()], [], [], seconds)[0])
