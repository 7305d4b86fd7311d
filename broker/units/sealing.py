"""Secrets sealed for the service by systemd-creds, and the word on which key protects them.

The secret goes in by a pipe and only its sealed form to the disk. The one invariant: a state key that seals files
already is never replaced by another one.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from broker.core.secret import Secret
from broker.units.placing import PlacingError
from broker.units.rendering import CREDENTIAL_PREFIX

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60
# The first 16 bytes of a sealed credential (systemd: src/shared/creds-util.h)
KEYS = {
    "5a1c6a86df9d4096b1d5a65e0862f19a": "this host's key, /var/lib/systemd/credential.secret",
    "0c7cc07b117645919c4b0bea08bc20fe": "this machine's TPM",
    "faf7eb9341e3412ca1a436f95a29362f": "this machine's TPM, bound to signed boot measurements",
    "93a894094874449090caf2fc93cab553": "this machine's TPM and this host's key together",
    "af4950a849134eb1a73846304ff30c05": "this machine's TPM, bound to signed boot measurements, and this host's key",
    "058469daf6f54324800549da0f8ea2fb": "no key at all: whoever has the file has the secret",
}


def sealed_path(directory: Path, name: str) -> Path:
    """Where a sealed credential lies; the prefix keeps it apart from other services' of that name."""
    return directory / f"{CREDENTIAL_PREFIX}{name}"


def seal(name: str, secret: Secret, directory: Path, *, with_key: str) -> str:
    """Seal a secret into `directory`; which key protects it. Raises: PlacingError."""
    path = sealed_path(directory, name)
    sealed = _encrypt(name, secret, with_key)
    draft = path.with_name(f".{path.name}.tmp")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise PlacingError(
            f"credential {name} cannot be written to {path}: {(error.strerror or 'unknown reason').lower()}"
        ) from None
    return protected_by(sealed)


def protected_by(sealed: bytes) -> str:
    """Which key protects a sealed credential, by its header."""
    try:
        header = base64.b64decode(b"".join(sealed.split()), validate=True)[:16].hex()
    except ValueError:
        return "unknown: it is no sealed credential"
    return KEYS.get(header, f"a key of a kind unknown here ({header})")


def trouble_with(name: str, directory: Path) -> str | None:
    """Why systemd cannot open a sealed credential on this machine; None where it can. Raises: PlacingError."""
    ended = _run(name, ["systemd-creds", "decrypt", f"--name={name}", str(sealed_path(directory, name)), "-"], b"")
    if ended.returncode == 0:
        return None
    return ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1] if ended.stderr else "no reason was given"


def new_state_key() -> Secret:
    """A fresh state key: 256 bits in hex, as the broker makes them itself."""
    return Secret(secrets.token_hex(32))


def existing_state_key(state_directory: Path) -> Secret | None:
    """The key file that the broker made at its first start, which must stay the key. Raises: PlacingError."""
    path = state_directory / "state.key"
    try:
        return Secret(path.read_text("utf-8").removesuffix("\n"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise PlacingError(f"state key {path} cannot be read; it must stay the key, so none was made") from None


def _encrypt(name: str, secret: Secret, with_key: str) -> bytes:
    command = ["systemd-creds", "encrypt", f"--with-key={with_key}", f"--name={name}", "-", "-"]
    ended = _run(name, command, secret.reveal().encode("utf-8", "surrogateescape"))
    if ended.returncode != 0:
        said = ended.stderr.decode("utf-8", "replace").strip()
        raise PlacingError(f"credential {name}: systemd-creds failed with {ended.returncode}: {said}")
    return ended.stdout


def _run(name: str, command: list[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 -- no shell; secrets go by pipes
            command, input=content, capture_output=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        raise PlacingError("systemd-creds is not there: systemd 250 or later is needed to seal credentials") from None
    except subprocess.TimeoutExpired:
        raise PlacingError(f"credential {name}: systemd-creds did not end within {SECONDS} s") from None
