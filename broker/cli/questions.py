"""Questions to a person at a terminal, or to whoever wrote the answers into a pipe.

Reads the descriptor byte by byte, so that what comes after an answer is still there for `login`. The one invariant: a
secret is never echoed, and the end of the input is told, never taken for an answer.
"""

from __future__ import annotations

import os
import sys

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.core.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.cli.terminal import Terminal


WORDS = {"": False, "y": True, "yes": True, "n": False, "no": False}


class Questions:
    """Asks on stderr, reads from stdin."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def text(self, question: str, default: str = "", *, good: Callable[[str], str | None] | None = None) -> str:
        """An answer, `default` for an empty one; asked again while `good` tells what is wrong with it."""
        while True:
            answer = self._line(f"{question} [{default}]: " if default else f"{question}: ") or default
            wrong = None if good is None else good(answer)
            if wrong is None:
                return answer
            self._terminal.note(f"  {wrong}")

    def yes(self, question: str, *, default: bool) -> bool:
        """Yes or no."""
        while True:
            answer = self._line(f"{question} [{'Y/n' if default else 'y/N'}] ").lower()
            if answer in WORDS:
                return default if not answer else WORDS[answer]
            self._terminal.note("  y or n")

    def choice(self, question: str, options: Sequence[str]) -> int:
        """The number of an option, from 0."""
        for number, option in enumerate(options, 1):
            self._terminal.note(f"  {number}) {option}")

        def good(answer: str) -> str | None:
            fine = answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(options)
            return None if fine else f"a number from 1 to {len(options)}"

        return int(self.text(question, "1", good=good)) - 1

    def secret(self, question: str) -> Secret:
        """A secret, without echo on a terminal; asked again while it is empty."""
        while True:
            if self._terminal.stdin is sys.stdin and sys.stdin.isatty():
                from getpass import getpass

                try:
                    value = getpass(f"{question} (not shown): ", self._terminal.stderr).strip()
                except EOFError:
                    raise _ended() from None
            else:
                value = self._line(f"{question} (not shown): ")
            if value:
                return Secret(value)
            self._terminal.note("  it cannot be empty")

    def _line(self, prompt: str) -> str:
        print(prompt, end="", file=self._terminal.stderr, flush=True)
        read = bytearray()
        while not read.endswith(b"\n"):
            byte = os.read(self._terminal.stdin.fileno(), 1)
            if not byte:
                raise _ended()
            read += byte
        if not self._terminal.stdin.isatty():
            self._terminal.note("")
        return read.decode("utf-8", "replace").strip()


def _ended() -> Failure:
    return Failure("the input ended before everything was answered", exit_codes.USAGE, hint="run it again")
