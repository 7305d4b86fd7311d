"""Sealed documents in the state directory: one file each, two slots a file, the newer one that opens is the document.

Knows nothing of what the documents say. A save overwrites, in place and fsynced, the slot that does not hold the
newest copy: no space is needed and the newest stays whole whatever happens. A file that has yet to exist or to grow
is written aside, fsynced, renamed. The one invariant: the slot last acknowledged is never the one written to.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker.adapters.disk import unavailable
from broker.adapters.sealing import Slot, open_slot, seal_slot
from broker.core.envelope import FORMAT_VERSION, HEADER_BYTES, TAG_BYTES, slot_bytes_for, slot_bytes_of
from broker.errors import StoreDamaged, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.adapters.state_key import StateKey
    from broker.ports import Disk

SUFFIX = ".sealed"
DEFAULT_SLOT_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a document's newest copy stands; `settled`: known to be on the disk, `whole`: both slots have room."""

    slot_bytes: int
    newest: int
    sequence: int
    settled: bool
    whole: bool


class SealedStore:
    """ports.Store over sealed files; every document opens under `key` or one of `also`, and is saved under `key`.

    `report(name, reason)` hears, in the calling thread, when one slot was damaged and the other served.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        key: StateKey,
        *,
        also: tuple[StateKey, ...] = (),
        report: Callable[[str, str], None] | None = None,
        slot_bytes: int = DEFAULT_SLOT_BYTES,
    ) -> None:
        self._directory = directory
        self._disk = disk
        self._key = key
        self._keys = (key, *also)
        self._report = report
        self._smallest = slot_bytes
        self._paths: dict[str, Path] = {}
        self._places: dict[str, _Place] = {}
        self._highest: dict[str, int] = {}  # a sequence number once tried is not used again
        self._lock = threading.RLock()

    def prepare(self) -> None:
        """Make the directory (0700) and clear what interrupted saves left. Raises: StoreUnavailable."""
        with self._lock, unavailable(f"state directory {self._directory}"):
            self._disk.make_directory(self._directory)
            for name in self._disk.listdir(self._directory):
                if name.endswith(f"{SUFFIX}.tmp") or (name.startswith("state.key.") and name.endswith(".tmp")):
                    self._disk.unlink(self._directory / name)

    def load(self, name: str) -> bytes | None:
        with self._lock:
            found = self._find(name)
            if found is None:
                return None
            place, content = found
            self._places[name] = place
            return content

    def save(self, name: str, content: bytes) -> None:
        with self._lock:
            if name not in self._places:
                with contextlib.suppress(StoreDamaged):  # set aside and reported; what comes now is the document
                    self.load(name)
            sequence = self._highest.get(name, 0) + 1
            self._highest[name] = sequence
            place = self._places.get(name)
            with unavailable(f"state file {self._path(name)} not saved"):
                if place is None or not place.whole or not _fits(content, place):
                    self._write_new(name, sequence, content)
                else:
                    self._write_in_place(name, place, sequence, content)

    def reseal(self, name: str) -> None:
        """Write a document anew, both copies under the present key. Raises: StoreUnavailable, StoreDamaged."""
        with self._lock:
            content = self.load(name)
            if content is None:
                return
            self._highest[name] += 1
            with unavailable(f"state file {self._path(name)} not sealed anew"):
                self._write_new(name, self._highest[name], content)

    def remove(self, name: str) -> None:
        with self._lock, unavailable(f"state file {self._path(name)} not removed"):
            self._places.pop(name, None)
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(self._path(name))
            self._disk.sync(self._directory)

    def set_aside(self, name: str, reason: str) -> StoreDamaged:
        with self._lock:
            return self._set_aside(name, reason)

    def names(self) -> list[str]:
        with unavailable(f"state directory {self._directory}"):
            found = self._disk.listdir(self._directory)
        return [name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)]

    def sequence(self, name: str) -> int | None:
        """How often the document was saved, a number that a restored backup sets back; None where there is none."""
        with self._lock:
            if name not in self._places:
                self.load(name)
            place = self._places.get(name)
            return None if place is None else place.sequence

    def _path(self, name: str) -> Path:
        path = self._paths.get(name)
        if path is None:
            if not _NAME.fullmatch(name):
                raise ValueError(f"not a document name: {name!r}")
            path = self._paths[name] = self._directory / f"{name}{SUFFIX}"
        return path

    # reading

    def _find(self, name: str) -> tuple[_Place, bytes] | None:
        path = self._path(name)
        known = self._places.get(name)
        with unavailable(f"state file {path} not read"):
            try:
                raw = self._disk.read(path)
            except FileNotFoundError:
                self._places.pop(name, None)
                return None
        slot_bytes = slot_bytes_of(raw) or max(len(raw) // 2, 1)
        slots = (open_slot(self._keys, name, raw), open_slot(self._keys, name, raw[slot_bytes:]))
        best = 1 if slots[1].sequence > slots[0].sequence else 0
        self._refuse_foreign(path, slots, best)
        if slots[best].content is None:
            flaws = f"first copy: {slots[0].flaw}; second copy: {slots[1].flaw}"
            raise self._set_aside(name, flaws if raw else "the file is empty")
        if known is not None and slots[known.newest].sequence == known.sequence:
            best = known.newest  # a later copy whose save failed may be in memory only, not on the disk
        self._tell_lost_slot(name, slots[1 - best])
        self._highest[name] = max(self._highest.get(name, 0), slots[0].sequence, slots[1].sequence)
        chosen = slots[best]
        assert chosen.content is not None
        settled = known is not None and known.settled and known.sequence == chosen.sequence
        whole = len(raw) == 2 * slot_bytes
        return _Place(slot_bytes, best, chosen.sequence, settled, whole), chosen.content

    def _refuse_foreign(self, path: Path, slots: tuple[Slot, Slot], best: int) -> None:
        """Touch nothing that a newer version or another key wrote, unless what we can open is newer still."""
        opened = slots[best].content is not None
        for slot in slots:
            header = slot.header
            if header is None or slot.content is not None:
                continue
            if slot.is_newer and (header.intact or not opened):
                raise StoreUnavailable(
                    f"state file {path}: format version {header.version}, this program knows {FORMAT_VERSION};"
                    " nothing was touched",
                    hint="run the newer eliot-broker, or move the file away and log in again",
                )
            ours = any(key.key_id_bytes == header.key_id for key in self._keys)
            if header.intact and not ours and header.sequence > slots[best].sequence:
                raise StoreUnavailable(
                    f"state file {path}: sealed with key {header.key_id.hex()}, the key here is {self._key.key_id}"
                    f" ({self._key.source}); nothing was touched",
                    hint="give back the key it was sealed with, or end an interrupted `state rekey`",
                )

    def _set_aside(self, name: str, reason: str) -> StoreDamaged:
        path = self._path(name)
        with unavailable(f"state file {path} is damaged and could not be set aside"):
            taken = set(self._disk.listdir(self._directory))
            number = next(n for n in range(1, len(taken) + 2) if f"{path.name}.damaged-{n}" not in taken)
            aside = path.with_name(f"{path.name}.damaged-{number}")
            self._places.pop(name, None)
            self._disk.rename(path, aside)
            self._disk.sync(self._directory)
        return StoreDamaged(
            f"state file {path} is damaged ({reason}); set aside as {aside.name}",
            hint="log in again, or restore the state directory from a backup",
        )

    def _tell_lost_slot(self, name: str, other: Slot) -> None:
        if other.content is None and self._report is not None:
            self._report(name, other.flaw)

    # writing

    def _write_in_place(self, name: str, place: _Place, sequence: int, content: bytes) -> None:
        path = self._path(name)
        if not place.settled:
            self._settle(name, path, place)
        target = 1 - place.newest
        sealed = seal_slot(self._key, name, sequence, place.slot_bytes, content)
        try:
            self._disk.overwrite(path, target * place.slot_bytes, sealed)
        except FileNotFoundError:
            self._write_new(name, sequence, content)
            return
        try:
            self._disk.sync(path)
        except OSError:
            # The cache may hold whole what the disk does not: let no later process take it for the newest.
            with contextlib.suppress(OSError):
                self._disk.overwrite(path, target * place.slot_bytes, bytes(HEADER_BYTES))
            raise
        self._places[name] = _Place(place.slot_bytes, target, sequence, settled=True, whole=True)

    def _settle(self, name: str, path: Path, place: _Place) -> None:
        """What an earlier process wrote may be in the cache only: make it durable before the other copy is given up.

        After a failed fsync the next one may succeed without having written (Linux), so then the file is made anew.
        """
        self._places[name] = replace(place, whole=False)
        self._disk.sync(path)
        self._disk.sync(self._directory)
        self._places[name] = replace(place, settled=True)

    def _write_new(self, name: str, sequence: int, content: bytes) -> None:
        """A file with room in both slots, both holding the content, in place of what is there."""
        path = self._path(name)
        draft = path.with_name(f"{path.name}.tmp")
        size = slot_bytes_for(len(content), self._smallest)
        slots = (self._padded(name, sequence, size, content) for _ in range(2))
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(draft)
        try:
            self._disk.create(draft, b"".join(slots))
            self._disk.sync(draft)
        except OSError:
            with contextlib.suppress(OSError):  # the first failure is the one to tell; prepare() clears the rest
                self._disk.unlink(draft)
            raise
        self._places.pop(name, None)  # from here on the name may stand for either file
        self._disk.rename(draft, path)
        self._disk.sync(self._directory)
        self._places[name] = _Place(size, 0, sequence, settled=True, whole=True)

    def _padded(self, name: str, sequence: int, slot_bytes: int, content: bytes) -> bytes:
        """A slot filled to its end with random bytes, so that a file system that packs zeros allocates it all."""
        sealed = seal_slot(self._key, name, sequence, slot_bytes, content)
        return sealed + secrets.token_bytes(slot_bytes - len(sealed))


def _fits(content: bytes, place: _Place) -> bool:
    return HEADER_BYTES + len(content) + TAG_BYTES <= place.slot_bytes
