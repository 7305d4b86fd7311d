"""Sealing one slot: AES-256-GCM over the content, bound to its header and to its document's name.

Knows no file. A renamed file, a swapped header or a slot of another document does not open. The one invariant:
each sealing draws a fresh random nonce (NIST SP 800-38D section 8.2.2: at most 2^32 sealings under one key).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from broker.core.envelope import FORMAT_VERSION, HEADER_BYTES, TAG_BYTES, Header, parse_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.adapters.state_key import StateKey


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as found: `content` None where it did not open, and then `flaw` says why."""

    header: Header | None
    content: bytes | None
    flaw: str = ""

    @property
    def sequence(self) -> int:
        """The sequence number of a slot that opened, else -1."""
        return self.header.sequence if self.header is not None and self.content is not None else -1

    @property
    def is_newer(self) -> bool:
        """Whether a later version of the format wrote it."""
        return self.header is not None and self.header.version > FORMAT_VERSION


def seal_slot(key: StateKey, name: str, sequence: int, slot_bytes: int, content: bytes) -> bytes:
    """Header and ciphertext, not padded to the slot."""
    header = Header(
        slot_bytes=slot_bytes,
        key_id=key.key_id_bytes,
        sequence=sequence,
        content_bytes=len(content),
        nonce=secrets.token_bytes(12),
    ).pack()
    return header + key.aead.encrypt(header[-16:-4], content, _associated(header, name))


def open_slot(keys: Sequence[StateKey], name: str, raw: bytes) -> Slot:
    """Open the slot at the start of `raw` with whichever of `keys` its header names."""
    header = parse_header(raw)
    if header is None:
        return Slot(None, None, "no header")
    if header.version > FORMAT_VERSION:
        return Slot(header, None, f"format version {header.version}")
    if not header.intact:
        return Slot(header, None, "header damaged")
    key = next((key for key in keys if key.key_id_bytes == header.key_id), None)
    if key is None:
        return Slot(header, None, f"sealed with key {header.key_id.hex()}")
    sealed = raw[HEADER_BYTES : HEADER_BYTES + header.content_bytes + TAG_BYTES]
    try:
        content = key.aead.decrypt(header.nonce, sealed, _associated(raw[:HEADER_BYTES], name))
    except (InvalidTag, ValueError):
        return Slot(header, None, "content does not authenticate")
    return Slot(header, content)


def _associated(header: bytes, name: str) -> bytes:
    """The header (with its version) and the name, which GCM authenticates along with the content."""
    return header + name.encode()
