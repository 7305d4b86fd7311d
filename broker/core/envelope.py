"""The header of a sealed slot: what stands in the clear before the ciphertext, and how it is read back.

Pure bytes: knows no key, no file and no cipher. Layout, big-endian, 48 bytes, the same for all format versions:
magic `EBS1`, version u16, reserved u16, slot size u32, key id 8 bytes, sequence u64, content length u32, nonce 12
bytes, CRC-32 of the 44 bytes before. The CRC tells a damaged header from one that another key or version wrote.
The one invariant: a header that says nothing certain is None, never a guess.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

MAGIC = b"EBS1"
FORMAT_VERSION = 1
TAG_BYTES = 16  # AES-GCM's authentication tag, behind the ciphertext
SMALLEST_SLOT = 512  # slots are powers of two from here on, which is how a second slot is found without the first

_BODY = struct.Struct(">4sHHI8sQI12s")
_CRC = struct.Struct(">I")
HEADER_BYTES = _BODY.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Header:
    """A slot's header; `intact` False: its CRC disagrees, so it proves nothing but its magic."""

    slot_bytes: int
    key_id: bytes
    sequence: int
    content_bytes: int
    nonce: bytes
    version: int = FORMAT_VERSION
    intact: bool = True

    def pack(self) -> bytes:
        """The 48 bytes."""
        body = _BODY.pack(
            MAGIC, self.version, 0, self.slot_bytes, self.key_id, self.sequence, self.content_bytes, self.nonce
        )
        return body + _CRC.pack(zlib.crc32(body))


def parse_header(raw: bytes) -> Header | None:
    """Read the header at the start of `raw`; None where there is none of ours."""
    if len(raw) < HEADER_BYTES or raw[:4] != MAGIC:
        return None
    _, version, _, slot_bytes, key_id, sequence, content_bytes, nonce = _BODY.unpack_from(raw)
    (crc,) = _CRC.unpack_from(raw, _BODY.size)
    return Header(
        slot_bytes=slot_bytes,
        key_id=key_id,
        sequence=sequence,
        content_bytes=content_bytes,
        nonce=nonce,
        version=version,
        intact=crc == zlib.crc32(raw[: _BODY.size]),
    )


def slot_bytes_for(content_bytes: int, at_least: int) -> int:
    """The slot size for contents of this length: a power of two, with room to grow by half."""
    needed = HEADER_BYTES + content_bytes + TAG_BYTES
    if needed <= at_least:
        return at_least
    return 1 << (needed + content_bytes // 2 - 1).bit_length()


def slot_bytes_of(raw: bytes) -> int | None:
    """The slot size of a whole file, from whichever header is intact; None where neither tells."""
    first = parse_header(raw)
    if first is not None and first.intact:
        return first.slot_bytes
    offset = SMALLEST_SLOT
    while offset < len(raw):
        header = parse_header(raw[offset : offset + HEADER_BYTES])
        if header is not None and header.intact and header.slot_bytes == offset:
            return offset
        offset *= 2
    return None
