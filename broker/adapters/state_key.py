"""The key that seals the state: derived from a secret of the operator's, or from `state.key` made at first start.

Knows nothing of documents. The file's text (one trailing newline stripped) is the secret, so `state.key` can become
a credential and stay the same key. The one invariant: no new key is made while sealed files are there to be opened.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from broker.adapters.disk import unavailable
from broker.core.words import counted
from broker.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from broker.core.secret import Secret
    from broker.ports import Disk

KEY_FILE: Final = "state.key"
NEXT_KEY_FILE: Final = "state.key.next"  # made by a rekey, becomes KEY_FILE as its last step
SMALLEST_KEY_BYTES: Final = 32
_ENCRYPTION = b"eliot-broker state encryption v1"
_IDENTITY = b"eliot-broker state key id v1"


class StateKey:
    """A sealing key; `source` says where it came from, `key_id` is 8 bytes in hex that give nothing away."""

    __slots__ = ("aead", "key_id_bytes", "source")

    def __init__(self, material: bytes, source: str) -> None:
        """Derive by HKDF-SHA256 (RFC 5869). Raises: ConfigError where `material` is shorter than 32 bytes."""
        if len(material) < SMALLEST_KEY_BYTES:
            problem = f"state key from {source}: {len(material)} bytes, at least {SMALLEST_KEY_BYTES} are needed"
            raise ConfigError(problem, problems=(problem,), hint="make one with `openssl rand -hex 32`")
        self.aead = AESGCM(HKDF(SHA256(), 32, None, _ENCRYPTION).derive(material))
        self.key_id_bytes = HKDF(SHA256(), 8, None, _IDENTITY).derive(material)
        self.source = source

    @classmethod
    def from_secret(cls, value: Secret, source: str) -> StateKey:
        """The key of a configured secret; `source` like `credential:state-key`. Raises: ConfigError."""
        return cls(value.reveal().encode("utf-8", "surrogateescape"), source)

    @property
    def key_id(self) -> str:
        """The key's id in hex, as sealed headers carry it."""
        return self.key_id_bytes.hex()

    def __repr__(self) -> str:
        return f"<state key {self.key_id} from {self.source}>"


def open_key_file(directory: Path, disk: Disk) -> StateKey:
    """Read `state.key`, making it at the first start. Raises: StoreUnavailable, ConfigError (too short)."""
    path = directory / KEY_FILE
    with unavailable(f"state key {path}"):
        disk.make_directory(directory)
        names = disk.listdir(directory)
        if KEY_FILE not in names:
            _refuse_to_replace(path, names)
            _make(path, disk)
        return _read(path, disk)


def staged_key(directory: Path, disk: Disk) -> StateKey | None:
    """The key of a rekey that has not ended; the store opens documents under it too. Raises: StoreUnavailable."""
    path = directory / NEXT_KEY_FILE
    with unavailable(f"state key {path}"):
        try:
            return _read(path, disk)
        except FileNotFoundError:
            return None


def stage_key_file(directory: Path, disk: Disk) -> StateKey:
    """Make `state.key.next`, or find the one an interrupted rekey left. Raises: StoreUnavailable."""
    path = directory / NEXT_KEY_FILE
    with unavailable(f"state key {path}"):
        disk.make_directory(directory)
        if NEXT_KEY_FILE not in disk.listdir(directory):
            _make(path, disk)
        staged = _read(path, disk)
        staged.source = f"file {directory / KEY_FILE}"  # as it will be called
        return staged


def promote_key_file(directory: Path, disk: Disk) -> None:
    """Let `state.key.next` be `state.key` from now on. Raises: StoreUnavailable."""
    with unavailable(f"state key {directory / KEY_FILE}"):
        disk.rename(directory / NEXT_KEY_FILE, directory / KEY_FILE)
        disk.sync(directory)


def _refuse_to_replace(path: Path, names: list[str]) -> None:
    sealed = [name for name in names if name.endswith(".sealed")]
    if sealed:
        raise StoreUnavailable(
            f"state key {path} is missing beside {counted(len(sealed), 'sealed file')} ({sealed[0]}, …);"
            " nothing was touched",
            hint=f"restore {path.name} from the backup, set [state] key, or move the sealed files away to start anew",
        )


def _make(path: Path, disk: Disk) -> None:
    """Write a new key whole and durable before it has its name; of two that race the first wins, for both."""
    draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    disk.create(draft, f"{secrets.token_hex(32)}\n".encode())
    try:
        disk.sync(draft)
        with contextlib.suppress(FileExistsError):
            disk.link(draft, path)
    finally:
        disk.unlink(draft)
    disk.sync(path.parent)


def _read(path: Path, disk: Disk) -> StateKey:
    return StateKey(disk.read(path).removesuffix(b"\n"), f"file {path}")
