"""A disk in memory that fails or dies at the n-th operation from now, tears writes and forgets what was not synced.

It models what a careful program must survive: a write is in the cache until its file is synced, a name until its
directory is; a failed fsync loses pages and later ones succeed all the same (Linux); a power cut keeps any subset of
the unsynced 512-byte sectors and any earlier state of an unsynced directory. Dying is `Died`, which no code catches.

    disk = FaultyDisk(random.Random(0))
    disk.fail(after=2, error=errno.ENOSPC)      # the third operation from now raises OSError, once
    disk.die(after=2)                           # the third operation from now is cut short, nothing follows
    disk.restart(power_loss=True)               # what a new process finds
"""

from __future__ import annotations

import errno as errors
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

SECTOR = 512
REFUSALS = {errors.EROFS, errors.EACCES, errors.EPERM}  # nothing was done at all


class Died(BaseException):
    """The process ended here."""


@dataclass(eq=False)
class Inode:
    cached: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)  # sectors

    def write(self, offset: int, content: bytes) -> None:
        if not content:
            return
        end = offset + len(content)
        self.cached.extend(bytes(max(0, end - len(self.cached))))
        self.cached[offset:end] = content
        self.dirty |= set(range(offset // SECTOR, (end - 1) // SECTOR + 1))

    def flush(self, sectors: set[int]) -> None:
        for sector in sorted(sectors):
            start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(self.cached))
            self.durable.extend(bytes(max(0, end - len(self.durable))))
            self.durable[start:end] = self.cached[start:end]
        self.dirty -= sectors


class FaultyDisk:
    """ports.Disk; `log` lists the operations done, `rng` decides what a tear or a power cut leaves."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._histories: dict[Path, list[dict[str, Inode]]] = {}  # of a directory: its states since it was synced
        self._failures: dict[int, int] = {}
        self._dies_at: int | None = None
        self._dead = False
        self.always: int | None = None
        self.log: list[str] = []

    # what tests do to it

    def fail(self, *, after: int = 0, error: int = errors.EIO) -> None:
        """Let the operation after so many others raise OSError, once."""
        self._failures[len(self.log) + after] = error

    def die(self, *, after: int = 0) -> None:
        """Let the operation after so many others be the last, done in part."""
        self._dies_at = len(self.log) + after

    def restart(self, *, power_loss: bool = False) -> None:
        """A new process, after `power_loss` on what was durable by then."""
        self._dead, self._dies_at, self.always = False, None, None
        self._failures.clear()
        if not power_loss:
            return
        for path, history in self._histories.items():
            names = dict(self._rng.choice(history))
            self._histories[path] = [names]
            for inode in set(names.values()):
                inode.flush({sector for sector in inode.dirty if self._rng.random() < 0.5})
                inode.cached, inode.dirty = bytearray(inode.durable), set()

    def damage(self, path: Path, offset: int, content: bytes) -> None:
        """Bit rot: change bytes behind everybody's back."""
        inode = self._inode(path)
        inode.write(offset, content)
        inode.flush(set(inode.dirty))

    def cut(self, path: Path, length: int) -> None:
        """Truncate a file behind everybody's back."""
        inode = self._inode(path)
        del inode.cached[length:]
        inode.durable, inode.dirty = bytearray(inode.cached), set()

    # ports.Disk

    def read(self, path: Path) -> bytes:
        self._step("read", path, lambda _: None)
        return bytes(self._inode(path).cached)

    def create(self, path: Path, content: bytes) -> None:
        names = self._directory(path.parent)
        if path.name in names:
            raise FileExistsError(errors.EEXIST, "file exists", str(path))
        inode = Inode()

        def effect(fraction: float) -> None:
            if fraction > 0:
                self._change(path.parent, {**names, path.name: inode})
                inode.write(0, content[: int(len(content) * fraction)])

        self._step("create", path, effect)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        inode = self._inode(path)
        self._step("overwrite", path, lambda fraction: self._tear(inode, offset, content, fraction))

    def sync(self, path: Path) -> None:
        if path in self._histories:
            self._step("sync", path, lambda fraction: self._sync_directory(path, fraction))
            return
        inode = self._inode(path)
        self._step("sync", path, lambda fraction: self._sync_file(inode, fraction))

    def rename(self, source: Path, target: Path) -> None:
        inode = self._inode(source)
        names = {name: other for name, other in self._directory(source.parent).items() if name != source.name}
        self._step("rename", target, self._all_or_nothing(source.parent, {**names, target.name: inode}))

    def link(self, source: Path, target: Path) -> None:
        names = self._directory(target.parent)
        if target.name in names:
            raise FileExistsError(errors.EEXIST, "file exists", str(target))
        self._step("link", target, self._all_or_nothing(target.parent, {**names, target.name: self._inode(source)}))

    def unlink(self, path: Path) -> None:
        self._inode(path)
        names = {name: inode for name, inode in self._directory(path.parent).items() if name != path.name}
        self._step("unlink", path, self._all_or_nothing(path.parent, names))

    def listdir(self, path: Path) -> list[str]:
        self._step("listdir", path, lambda _: None)
        return sorted(self._directory(path))

    def make_directory(self, path: Path) -> None:
        self._step("make_directory", path, lambda _: None)
        self._histories.setdefault(path, [{}])

    # its inside

    def _step(self, operation: str, path: Path, effect: Callable[[float], None]) -> None:
        """Do `effect(1.0)`, or a part of it where this operation is to fail or to be the last."""
        if self._dead:
            raise Died
        number = len(self.log)
        self.log.append(f"{operation} {path.name}")
        if self._dies_at is not None and number >= self._dies_at:
            self._dead = True
            effect(self._rng.random())
            raise Died
        error = self._failures.pop(number, self.always)
        if error is not None:
            torn = operation in {"create", "overwrite", "sync"} and error not in REFUSALS
            effect(self._rng.random() * 0.99 if torn else 0.0)
            raise OSError(error, os.strerror(error), str(path))
        effect(1.0)

    def _directory(self, path: Path) -> dict[str, Inode]:
        if path not in self._histories:
            raise FileNotFoundError(errors.ENOENT, "no such directory", str(path))
        return self._histories[path][-1]

    def _inode(self, path: Path) -> Inode:
        if self._dead:
            raise Died
        try:
            return self._directory(path.parent)[path.name]
        except KeyError:
            raise FileNotFoundError(errors.ENOENT, "no such file", str(path)) from None

    def _change(self, directory: Path, names: dict[str, Inode]) -> None:
        self._histories[directory].append(names)

    def _all_or_nothing(self, directory: Path, names: dict[str, Inode]) -> Callable[[float], None]:
        return lambda fraction: self._change(directory, names) if fraction > 0.5 else None

    def _tear(self, inode: Inode, offset: int, content: bytes, fraction: float) -> None:
        start = 0 if fraction == 1.0 else int(self._rng.random() * len(content) * (1 - fraction))
        inode.write(offset + start, content[start : start + int(len(content) * fraction)])

    def _sync_file(self, inode: Inode, fraction: float) -> None:
        inode.flush({sector for sector in inode.dirty if fraction == 1.0 or self._rng.random() < fraction})
        if not self._dead:
            inode.dirty.clear()  # a failed fsync forgets the pages it could not write

    def _sync_directory(self, path: Path, fraction: float) -> None:
        if fraction == 1.0:
            self._histories[path] = [self._histories[path][-1]]
