"""A real pseudo-terminal with a program on it, as a person has it: what it shows, and keys that are pressed.

with Screen([...], environ=…) as screen:
    screen.until("a name")
    screen.say("home")
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

LONGEST_SECONDS = 90.0
CONTROLLING = (  # the terminal becomes the session's own: /dev/tty is it, and ctrl-C reaches the program, even
    # where the tests run in a background job, whose children inherit a SIGINT that is ignored
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Screen:
    """A program at a terminal of its own; `shown` is all that it showed."""

    def __init__(self, command: Sequence[str | Path], *, environ: dict[str, str], cwd: Path) -> None:
        self.shown = ""
        self._seen = 0
        self._keyboard, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", CONTROLLING, *command],
            env={"TERM": "xterm", **environ}, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def until(self, pattern: str) -> re.Match[str]:
        """Read until something new on the screen matches."""
        end = time.monotonic() + LONGEST_SECONDS
        while not (found := re.compile(pattern).search(self.shown, self._seen)):
            assert time.monotonic() < end, f"never shown: {pattern}\n{self.shown}"
            assert self._read(1.0), f"it ended without: {pattern}\n{self.shown}"
        self._seen = found.end()
        return found

    def _read(self, seconds: float) -> bool:
        """Take in what is shown; False once the program has left the terminal."""
        if not select.select([self._keyboard], [], [], seconds)[0]:
            return True
        try:
            part = os.read(self._keyboard, 65536)
        except OSError:  # Linux says EIO where nobody is at the other end any more
            return False
        self.shown += part.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(part)

    def say(self, line: str = "") -> None:
        """Type a line."""
        self.press(f"{line}\n")

    def press(self, keys: str) -> None:
        """Press keys: text, or what a control key sends."""
        os.write(self._keyboard, keys.encode())

    def answer(self, *dialogue: tuple[str, str]) -> None:
        """Wait for each question, then type its answer."""
        for question, line in dialogue:
            self.until(question)
            self.say(line)

    def end(self) -> int:
        """Wait for its end; the exit status."""
        end = time.monotonic() + LONGEST_SECONDS
        while self._read(1.0):
            assert time.monotonic() < end, f"it does not end\n{self.shown}"
        return self.process.wait(LONGEST_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._keyboard)
