"""A login on its way to another machine: one document, sealed to a passphrase, in a file of its own.

A login is moved, not copied: two brokers with one refresh token end it for both. So exporting takes two steps, and
the first leaves everything as it was: `write_bundle` (durable, read back), then `Store.remove`. The one invariant:
at every moment the document is whole in at least one of the two places.

File: magic `EBX1`, log2 of scrypt's n, its r and p (a byte each; RFC 7914), salt 16, nonce 12, length of the name
u8, the name; then AES-256-GCM over the content with all of that as associated data.
"""

from __future__ import annotations

import contextlib
import secrets
import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from broker.adapters.disk import unavailable
from broker.errors import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from broker.core.secret import Secret
    from broker.ports import Disk, Store

MAGIC = b"EBX1"
LOG2_N, R, P = 17, 8, 1  # 128 MiB and about half a second: OWASP's password storage cheat sheet
LARGEST_LOG2_N = 20  # what a hostile bundle can make us spend: 1 GiB
_HEAD = struct.Struct(">4sBBB16s12sB")


def export_login(
    store: Store, disk: Disk, name: str, target: Path, passphrase: Secret, *, log2_n: int = LOG2_N
) -> None:
    """Move document `name` out of `store` into the new file `target`; the caller holds the state lock.

    Run again after a crash between the two steps it finds the bundle, checks it and does the second. Raises:
    StoreUnavailable (nothing there, target taken by something else, disk), StoreDamaged.
    """
    content = store.load(name)
    if content is None:
        raise StoreUnavailable(f"export of {name}: there is no login of that name here", hint="is the name right?")
    write_bundle(disk, target, name, content, passphrase, log2_n=log2_n)
    store.remove(name)


def import_login(store: Store, disk: Disk, source: Path, passphrase: Secret, *, replace: bool = False) -> str:
    """Move the bundle `source` into `store` and return the document's name; the bundle is removed once it is saved.

    Raises: StoreUnavailable (wrong passphrase, document there already and not `replace`, bundle not removable).
    """
    name, content = read_bundle(disk, source, passphrase)
    present = store.load(name)
    if present is not None and present != content and not replace:
        raise StoreUnavailable(
            f"import of {source}: the state holds {name} already; nothing was touched",
            hint="log that account out first, or say that it is to be replaced",
        )
    store.save(name, content)
    with unavailable(f"import of {source}: {name} is saved, but the bundle could not be removed; remove it by hand"):
        disk.unlink(source)
        disk.sync(source.parent)
    return name


def write_bundle(
    disk: Disk, target: Path, name: str, content: bytes, passphrase: Secret, *, log2_n: int = LOG2_N
) -> None:
    """Write the bundle (0600, fsynced) and read it back; where it is there already with this content, that will do.

    Raises: StoreUnavailable.
    """
    with unavailable(f"export to {target}"):
        if target.name not in disk.listdir(target.parent):
            draft = target.with_name(f".{target.name}.tmp")
            with contextlib.suppress(FileNotFoundError):
                disk.unlink(draft)
            disk.create(draft, seal_bundle(name, content, passphrase, log2_n=log2_n))
            disk.sync(draft)
            disk.rename(draft, target)
        disk.sync(target)
        disk.sync(target.parent)
    if read_bundle(disk, target, passphrase) != (name, content):
        raise StoreUnavailable(
            f"export to {target}: the file is there and holds something else; nothing was touched",
            hint="choose another file",
        )


def read_bundle(disk: Disk, source: Path, passphrase: Secret) -> tuple[str, bytes]:
    """The document's name and content. Raises: StoreUnavailable."""
    with unavailable(f"bundle {source}"):
        raw = disk.read(source)
    try:
        return open_bundle(raw, passphrase)
    except (InvalidTag, ValueError, struct.error):
        raise StoreUnavailable(
            f"bundle {source} does not open: wrong passphrase, damaged, or no bundle; nothing was touched",
            hint="give the passphrase it was exported with",
        ) from None


def seal_bundle(name: str, content: bytes, passphrase: Secret, *, log2_n: int = LOG2_N) -> bytes:
    """The bytes of a bundle; `log2_n` is what guessing the passphrase costs (and opening the bundle once)."""
    salt, nonce, title = secrets.token_bytes(16), secrets.token_bytes(12), name.encode()
    head = _HEAD.pack(MAGIC, log2_n, R, P, salt, nonce, len(title)) + title
    return head + _cipher(passphrase, salt, log2_n, R, P).encrypt(nonce, content, head)


def open_bundle(raw: bytes, passphrase: Secret) -> tuple[str, bytes]:
    """The document's name and content. Raises: ValueError, InvalidTag, struct.error."""
    magic, log2_n, r, p, salt, nonce, length = _HEAD.unpack_from(raw)
    if magic != MAGIC or log2_n > LARGEST_LOG2_N or (r, p) != (R, P):
        raise ValueError("not a bundle that we know")
    head = raw[: _HEAD.size + length]
    content = _cipher(passphrase, salt, log2_n, r, p).decrypt(nonce, raw[len(head) :], head)
    return head[_HEAD.size :].decode(), content


def _cipher(passphrase: Secret, salt: bytes, log2_n: int, r: int, p: int) -> AESGCM:
    scrypt = Scrypt(salt=salt, length=32, n=1 << log2_n, r=r, p=p)
    return AESGCM(scrypt.derive(passphrase.reveal().encode("utf-8", "surrogateescape")))
