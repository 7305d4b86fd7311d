"""A disk that ends its process by SIGKILL at the n-th operation: before it, in the middle of it, or after it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

from broker.adapters.disk import RealDisk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
How = Literal["before", "torn", "after"]


class KillingDisk:
    """ports.Disk over the real one; counts while the file `armed` exists, and tells each operation to `log`."""

    def __init__(self, armed: Path, *, operation: int, how: How, log: Path | None = None) -> None:
        self._disk = RealDisk()
        self._armed = armed
        self._operation = operation
        self._how = how
        self._log = log
        self._count = 0

    def read(self, path: Path) -> bytes:
        return self._step("read", path, lambda: self._disk.read(path))

    def create(self, path: Path, content: bytes) -> None:
        half = content[: len(content) // 2]
        self._step("create", path, lambda: self._disk.create(path, content), lambda: self._disk.create(path, half))

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        half = content[: len(content) // 2]
        self._step(
            "overwrite",
            path,
            lambda: self._disk.overwrite(path, offset, content),
            lambda: self._disk.overwrite(path, offset, half),
        )

    def sync(self, path: Path) -> None:
        self._step("sync", path, lambda: self._disk.sync(path))

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename", target, lambda: self._disk.rename(source, target))

    def link(self, source: Path, target: Path) -> None:
        self._step("link", target, lambda: self._disk.link(source, target))

    def unlink(self, path: Path) -> None:
        self._step("unlink", path, lambda: self._disk.unlink(path))

    def listdir(self, path: Path) -> list[str]:
        return self._step("listdir", path, lambda: self._disk.listdir(path))

    def make_directory(self, path: Path) -> None:
        self._step("make_directory", path, lambda: self._disk.make_directory(path))

    def _step(self, name: str, path: Path, whole: Callable[[], T], part: Callable[[], None] | None = None) -> T:
        if not self._armed.exists():
            return whole()
        self._count += 1
        if self._count != self._operation:
            done = whole()
            self._note(f"{self._count} {name} {path.name}")
            return done
        self._note(f"{self._count} {name} {path.name}: killed {self._how}")
        if self._how == "after":
            whole()
        if self._how == "torn" and part is not None:
            part()
        return die()

    def _note(self, line: str) -> None:
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(f"{time.monotonic():.6f} {line}\n")


def die() -> NoReturn:
    """End this very process as a power button would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")
