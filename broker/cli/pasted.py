"""Lines of stdin as they come, without waiting for them longer than asked.

Reads the file descriptor itself: a buffered reader would swallow a second line that select(2) then never reports.
The one invariant: `next` returns within the seconds it was given, whatever stdin is.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from broker.cli.terminal import Terminal

READ_BYTES = 65536


class PastedLines:
    """The lines of a terminal's stdin; `ended` once there will be no more."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._rest = b""
        self._at_end = False

    @property
    def ended(self) -> bool:
        """Whether the input has ended and every line of it was given out."""
        return self._at_end and not self._rest

    def next(self, seconds: float) -> str | None:
        """The next line that is not blank; None: there was none within `seconds`."""
        line = self._pop()
        if line is not None:
            return line
        if self._at_end:
            self._terminal.pause(seconds)
            return None
        if self._terminal.can_read(seconds):
            self._read()
        return self._pop()

    def _read(self) -> None:
        try:
            data = os.read(self._terminal.stdin.fileno(), READ_BYTES)
        except OSError:  # a background job may not read its terminal: to us that is the end of input
            data = b""
        self._rest += data
        if not data:
            self._at_end = True

    def _pop(self) -> str | None:
        while self._rest:
            line, newline, rest = self._rest.partition(b"\n")
            if not newline and not self._at_end:
                return None
            self._rest = rest
            text = line.decode("utf-8", "replace").strip()
            if text:
                return text
        return None
