"""A fake daemon, and the command run in this process with streams and clocks of its own."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from broker.cli.main import main
from broker.cli.terminal import Terminal
from tests.client.fake_daemon import FakeDaemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_800_000_000.0


class Stream(io.StringIO):
    """A text stream that may claim to be a terminal."""

    def __init__(self, *, tty: bool = False) -> None:
        super().__init__()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


class Typed(Stream):
    """A stdin over a pipe, so that select(2) works on it."""

    def __init__(self, reading: int, *, tty: bool = False) -> None:
        super().__init__(tty=tty)
        self._reading = reading

    def fileno(self) -> int:
        return self._reading


class FakeTerminal(Terminal):
    """Its clocks stand still but for `pause` (and `tick` at every look); `on_pause` is called at each."""

    def __init__(self, stdin: Typed, environment: dict[str, str], *, tty: bool = False) -> None:
        super().__init__(stdin, Stream(tty=tty), Stream(tty=tty), environment)
        self.seconds = 0.0
        self.tick = 0.0
        self.screen = (80, 24) if tty else (0, 0)
        self.on_pause: Callable[[], None] = lambda: None

    def size(self) -> tuple[int, int]:
        return self.screen

    def monotonic(self) -> float:
        self.seconds += self.tick
        return self.seconds

    def now(self) -> float:
        return NOW + self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.on_pause()

    def can_read(self, seconds: float) -> bool:
        ready = super().can_read(0)
        if not ready:
            self.pause(seconds)
        return ready


class Command:
    """Runs the command; afterwards `out` and `err` hold what it printed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading, self._writing = os.pipe()
        self.environment = {"ELIOT_BROKER_SOCKET": str(path)}
        self.terminal = self.on_terminal(tty=False)
        self.out = ""
        self.err = ""

    def on_terminal(self, *, tty: bool) -> FakeTerminal:
        """Begin anew, on a terminal or in a pipe."""
        self.terminal = FakeTerminal(Typed(self._reading, tty=tty), self.environment, tty=tty)
        return self.terminal

    def type(self, text: str) -> None:
        """Put text into stdin."""
        os.write(self._writing, text.encode())

    def end_input(self) -> None:
        """Close stdin's other end."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def __call__(self, *arguments: str) -> int:
        code = main(["--socket", str(self._path), *arguments], self.terminal)
        self.out, self.err = (_text(stream) for stream in (self.terminal.stdout, self.terminal.stderr))
        return code

    def close(self) -> None:
        self.end_input()
        os.close(self._reading)


def _text(stream: object) -> str:
    assert isinstance(stream, Stream)
    return stream.getvalue()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "broker.sock") as fake:
        yield fake


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command, pointed at the fake daemon's socket."""
    made = Command(tmp_path / "broker.sock")
    yield made
    made.close()
