"""Where the secrets of broker.toml are: systemd credentials, files, environment variables; never the file itself.

The one invariant: neither a value nor a part of one is in any refusal; only the name behind the colon is.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from broker.config import SecretReference
from broker.config.values import Refused, toml_type
from broker.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_KEY_BYTES = 32
LARGEST_SECRET_BYTES = 65_536

_REFERENCE = re.compile(r"(credential|file|env):(.+)")
_CREDENTIAL_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._@:+-]{1,255}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_WHERE = "credential:NAME, file:PATH or env:NAME"


@dataclass(slots=True)
class SecretReader:
    """Reads references of one configuration file; `directory` is what a relative `file:` starts from.

    `remembered` are the `env:` values of the configuration in force: a variable that was taken out of the
    environment at the first reading is found there. `variables_read` are those to take out now.
    """

    directory: Path
    environ: Mapping[str, str]
    remembered: Mapping[str, Secret] = field(default_factory=dict)
    variables_read: set[str] = field(default_factory=set)

    def client_secret(self, value: object) -> SecretReference:
        """A secret that is sent in a form. Raises: Refused."""
        return self._text(value, lambda character: character.isprintable(), "control characters")

    def header_value(self, value: object) -> SecretReference:
        """A secret that is sent in a header: visible ASCII only (RFC 9110 section 5.5). Raises: Refused."""
        return self._text(value, lambda character: "!" <= character <= "~", "characters that no header may carry")

    def state_key(self, value: object) -> SecretReference:
        """The state key, at least 32 bytes; bytes that are no UTF-8 are taken one by one (Latin-1). Raises: Refused."""
        source, name = _reference(value)
        content = self._content(source, name)
        try:
            key = _without_newline(content).decode()
            length = len(key.encode())
        except UnicodeDecodeError:  # 32 random bytes are a fine key, and their last may well be a newline
            key, length = content.decode("latin-1"), len(content)
        if length < STATE_KEY_BYTES:
            remedy = "make one with `openssl rand -base64 32`"
            raise Refused((f"{source} {name} has {length} bytes, fewer than {STATE_KEY_BYTES}", remedy))
        return SecretReference(source, name, Secret(key))

    def _text(self, value: object, good: _Judge, bad: str) -> SecretReference:
        source, name = _reference(value)
        try:
            secret = _without_newline(self._content(source, name)).decode()
        except UnicodeDecodeError:
            raise Refused((f"{source} {name} is no UTF-8 text", "store the secret as plain text")) from None
        if not secret:
            raise Refused((f"{source} {name} is empty", "store the secret there"))
        if not all(good(character) for character in secret):
            raise Refused((f"{source} {name} has {bad} in it", "store the secret alone, on one line"))
        return SecretReference(source, name, Secret(secret))

    def _content(self, source: _Source, name: str) -> bytes:
        match source:
            case "credential":
                return self._credential(name)
            case "file":
                return _private_file(self.directory / name, name)
            case "env":
                return self._variable(name)

    def _credential(self, name: str) -> bytes:
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        if not _CREDENTIAL_NAME.fullmatch(name):
            raise Refused(("names a credential as systemd cannot", "a name has letters, digits, dots and hyphens"))
        if not directory:
            remedy = f"run it under systemd with LoadCredentialEncrypted={name}, or use file:PATH"
            raise Refused((f"credential {name} is missing, for $CREDENTIALS_DIRECTORY is not set", remedy))
        try:
            return _read(Path(directory, name))
        except OSError as error:
            remedy = f"add LoadCredentialEncrypted={name} to the service and restart it"
            raise Refused((f"credential {name} cannot be read: {_reason(error)}", remedy)) from None

    def _variable(self, name: str) -> bytes:
        if not _VARIABLE_NAME.fullmatch(name):
            raise Refused(("names no environment variable", "a name has letters, digits and underscores"))
        if name in self.environ:
            self.variables_read.add(name)
            return os.fsencode(self.environ[name])
        if name in self.remembered:
            return self.remembered[name].reveal().encode()
        raise Refused((f"environment variable {name} is not set", "set it for the broker, or use credential:NAME"))


class NoSecrets(SecretReader):
    """Checks how references are written, and reads none: something made up stands in place of each secret."""

    def _content(self, source: _Source, name: str) -> bytes:  # noqa: ARG002 -- the reader's
        return b"made-up." * (STATE_KEY_BYTES // 8)


def _reference(value: object) -> tuple[_Source, str]:
    if not isinstance(value, str):
        raise Refused((f"must be a string, not {toml_type(value)}", f"write {_WHERE}"))
    found = _REFERENCE.fullmatch(value)
    if not found or not value.isprintable():
        remedy = f"write {_WHERE}; where a secret stood here, replace it by a new one"
        raise Refused(("does not say where the secret is, and a secret never stands in this file", remedy))
    source: _Source = "credential" if found[1] == "credential" else "file" if found[1] == "file" else "env"
    return source, found[2]


def _private_file(path: Path, name: str) -> bytes:
    try:
        content = _read(path, forbidden_bits=0o007)
    except _TooOpenError as error:
        raise Refused((f"file {name} is open to everybody (mode {error})", f"chmod 0640 {path}")) from None
    except OSError as error:
        raise Refused(
            (f"file {name} cannot be read: {_reason(error)}", f"create {path} for the broker's user")
        ) from None
    return content


class _TooOpenError(Exception):
    """The mode of a file that others may read."""


def _read(path: Path, *, forbidden_bits: int = 0) -> bytes:
    # not blocking, for a FIFO in place of the file must not hold the start
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is no regular file")
        if status.st_mode & forbidden_bits:
            raise _TooOpenError(f"{stat.S_IMODE(status.st_mode):04o}")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_SECRET_BYTES:
        raise OSError(None, f"it is larger than {LARGEST_SECRET_BYTES} bytes")
    return content


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()


def _without_newline(content: bytes) -> bytes:
    return content.removesuffix(b"\n").removesuffix(b"\r") if content.endswith(b"\n") else content


if TYPE_CHECKING:
    from collections.abc import Callable

    _Judge = Callable[[str], bool]
    _Source = Literal["credential", "file", "env"]
