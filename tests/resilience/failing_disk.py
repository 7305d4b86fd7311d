"""A disk that refuses as a file tells it to: `ERRNO OPERATION NAME`, read anew before every operation.

OPERATION may be `write` (everything that changes something) or `all`; NAME is part of a file's name or `*`. An empty
or missing file: the disk is well.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from broker.adapters.disk import RealDisk

if TYPE_CHECKING:
    from pathlib import Path

WRITES = frozenset({"create", "overwrite", "sync", "rename", "link", "unlink", "make_directory"})


class FailingDisk:
    """ports.Disk over the real one."""

    def __init__(self, plan: Path) -> None:
        self._disk = RealDisk()
        self._plan = plan

    def read(self, path: Path) -> bytes:
        self._judge("read", path)
        return self._disk.read(path)

    def create(self, path: Path, content: bytes) -> None:
        self._judge("create", path)
        self._disk.create(path, content)

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        self._judge("overwrite", path)
        self._disk.overwrite(path, offset, content)

    def sync(self, path: Path) -> None:
        self._judge("sync", path)
        self._disk.sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._judge("rename", target)
        self._disk.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._judge("link", target)
        self._disk.link(source, target)

    def unlink(self, path: Path) -> None:
        self._judge("unlink", path)
        self._disk.unlink(path)

    def listdir(self, path: Path) -> list[str]:
        self._judge("listdir", path)
        return self._disk.listdir(path)

    def make_directory(self, path: Path) -> None:
        self._judge("make_directory", path)
        self._disk.make_directory(path)

    def _judge(self, operation: str, path: Path) -> None:
        try:
            words = self._plan.read_text().split()
        except FileNotFoundError:
            return
        if not words:
            return
        name, kind, part = words
        concerned = kind in ("all", operation) or (kind == "write" and operation in WRITES)
        if concerned and (part == "*" or part in path.name):
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number), str(path))
