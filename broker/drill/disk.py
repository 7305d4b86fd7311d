"""A disk in memory that a script makes fail: full, broken, read-only, torn in the middle of a write, without power.

What is written is in the cache until it is synced; names until their directory is. Knows no store. The one invariant:
a power cut keeps of the unsynced sectors a part that the seed decides, and everything that was synced.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from broker.drill.steps import Died

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

SECTOR = 512


class Inode:
    """A file's bytes: as every process sees them, and as they are on the disk."""

    __slots__ = ("cached", "durable", "pending")

    def __init__(self) -> None:
        self.cached = bytearray()
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes]] = []  # not synced yet, in order

    def write(self, offset: int, content: bytes) -> None:
        """Into the cache."""
        _put(self.cached, offset, content)
        self.pending.append((offset, content))

    def flush(self) -> None:
        """Onto the disk."""
        for offset, content in self.pending:
            _put(self.durable, offset, content)
        self.pending.clear()

    def cut(self, rng: random.Random) -> None:
        """The power goes: of what was not synced, some sectors are there."""
        for offset, content in self.pending:
            for start in range(0, len(content), SECTOR):
                if rng.random() < 0.5:  # noqa: PLR2004
                    _put(self.durable, offset + start, content[start : start + SECTOR])
        self.pending.clear()
        self.cached = bytearray(self.durable)


def _put(target: bytearray, offset: int, content: bytes) -> None:
    end = offset + len(content)
    if len(target) < end:
        target.extend(bytes(end - len(target)))
    target[offset:end] = content


class ScriptedDisk:
    """What lies under all processes of a drill. `refuses` is the errno of every write while it is set."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.refuses: int | None = None
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.directories: set[Path] = set()
        self.crash_after: int | None = None
        self.operations = 0

    def power_cut(self) -> None:
        """Forget what was not synced, all or a part of it."""
        self.names = dict(self.names if self.rng.random() < 0.5 else self.durable_names)  # noqa: PLR2004
        for inode in set(self.names.values()):
            inode.cut(self.rng)
        self.durable_names = dict(self.names)

    def for_process(self, on_death: Callable[[], None]) -> ProcessDisk:
        """The disk as one process sees it."""
        return ProcessDisk(self, on_death)


class ProcessDisk:
    """ports.Disk of one process, which may die at any of its writes; a dead one reaches nothing any more."""

    def __init__(self, disk: ScriptedDisk, on_death: Callable[[], None]) -> None:
        self._disk = disk
        self._on_death = on_death
        self.dead = False

    def read(self, path: Path) -> bytes:
        self._look()
        return bytes(self._inode(path).cached)

    def create(self, path: Path, content: bytes) -> None:
        self._look()
        if path in self._disk.names:
            raise FileExistsError(errno.EEXIST, "file exists", str(path))
        inode = Inode()

        def effect(part: float) -> None:
            self._disk.names[path] = inode
            inode.write(0, content[: int(len(content) * part)])

        self._change(path, effect)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        self._look()
        inode = self._inode(path)
        self._change(path, lambda part: inode.write(offset, content[: int(len(content) * part)]))

    def sync(self, path: Path) -> None:
        self._look()
        if path in self._disk.directories:
            self._change(path, self._sync_names)
            return
        inode = self._inode(path)
        self._change(path, lambda part: inode.flush() if part == 1.0 else None)

    def _sync_names(self, part: float) -> None:
        if part == 1.0:
            self._disk.durable_names = dict(self._disk.names)

    def rename(self, source: Path, target: Path) -> None:
        self._look()
        inode = self._inode(source)

        def effect(part: float) -> None:
            if part > 0.5:  # noqa: PLR2004
                del self._disk.names[source]
                self._disk.names[target] = inode

        self._change(target, effect)

    def link(self, source: Path, target: Path) -> None:
        self._look()
        if target in self._disk.names:
            raise FileExistsError(errno.EEXIST, "file exists", str(target))
        inode = self._inode(source)
        self._change(target, lambda part: self._disk.names.update({target: inode}) if part > 0.5 else None)  # noqa: PLR2004

    def unlink(self, path: Path) -> None:
        self._look()
        self._inode(path)
        self._change(path, lambda part: self._disk.names.pop(path, None) if part > 0.5 else None)  # noqa: PLR2004

    def listdir(self, path: Path) -> list[str]:
        self._look()
        return sorted(found.name for found in self._disk.names if found.parent == path)

    def make_directory(self, path: Path) -> None:
        self._look()
        self._disk.directories.add(path)

    # its inside

    def _look(self) -> None:
        if self.dead:
            raise Died

    def _inode(self, path: Path) -> Inode:
        try:
            return self._disk.names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None

    def _change(self, path: Path, effect: Callable[[float], object]) -> None:
        """Do it, refuse it, or die in the middle of it."""
        disk = self._disk
        disk.operations += 1
        if disk.crash_after is not None:
            disk.crash_after -= 1
            if disk.crash_after < 0:
                disk.crash_after = None
                effect(disk.rng.random())
                self.dead = True
                self._on_death()
                raise Died
        if disk.refuses is not None:
            raise OSError(disk.refuses, os.strerror(disk.refuses), str(path))
        effect(1.0)
