"""What the systemd files depend on: where the program is, who runs it, systemd, kernel, and what broker.toml names.

Reads broker.toml tolerantly, for it may be half written yet, and never a secret. The one invariant: what cannot be
found out takes the value that works everywhere (systemd 252, an old kernel, the sample's credentials).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_SYSTEMD = 252
SYSTEM_CONFIG = Path("/etc/eliot-broker/broker.toml")
SAMPLE_CREDENTIALS = ("home-client-secret", "home-subscription-key")
STATE_KEY = "state-key"
REFERENCE = re.compile(r"credential:([A-Za-z0-9._@:+-]{1,255})")
SYSTEMCTL_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation, as the templates see it; `groups` are directory and group of published files."""

    program: Path
    user: str = "eliot-broker"
    config: Path | None = None  # None: serve looks in the usual places
    credentials: tuple[str, ...] = (STATE_KEY, *SAMPLE_CREDENTIALS)
    groups: tuple[tuple[Path, str], ...] = ()
    systemd_version: int = OLDEST_SYSTEMD
    kernel: tuple[int, int] = (6, 13)
    watchdog_seconds: int = 30
    of_user: bool = False

    @property
    def socket_path(self) -> str:
        """Where the socket is, in the words of a unit file."""
        return "%t/eliot-broker/broker.sock" if self.of_user else "/run/eliot-broker/broker.sock"


def find_installation(*, user: str, config: Path | None, of_user: bool) -> Installation:
    """This installation, running this program. Raises: OSError, ValueError for a `config` that cannot be read."""
    document = read_document(config or SYSTEM_CONFIG, must_be=config is not None)
    return Installation(
        program=program_path(Path(sys.prefix)),
        user=user,
        config=config.absolute() if config is not None and config.absolute() != SYSTEM_CONFIG else None,
        credentials=credential_names(document),
        groups=published_groups(document),
        systemd_version=systemd_version(),
        kernel=kernel_version(os.uname().release),
        of_user=of_user,
    )


def program_path(prefix: Path) -> Path:
    """The command of this environment; by the link `current` beside it where that leads here, for it stays."""
    current = prefix.parent / "current"
    if current.is_symlink() and current.resolve() == prefix.resolve():
        prefix = current
    return prefix / "bin" / "eliot-broker"


def read_document(path: Path, *, must_be: bool) -> dict[str, Any]:
    """The TOML as it stands; empty where it is not there. Raises: OSError, ValueError where it `must_be`."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        if must_be:
            raise
        return {}


def credential_names(document: dict[str, Any]) -> tuple[str, ...]:
    """Every credential that the configuration names, the state key first; the sample's where there is none."""
    found = dict.fromkeys(
        match[1] for text in _strings(document) if (match := REFERENCE.fullmatch(text)) and match[1] != STATE_KEY
    )
    return (STATE_KEY, *(found if document else SAMPLE_CREDENTIALS))


def published_groups(document: dict[str, Any]) -> tuple[tuple[Path, str], ...]:
    """Directory and group of every published file below /run/eliot-broker that has a group."""
    found: dict[Path, str] = {}
    tickets = document.get("tickets")
    for ticket in tickets.values() if isinstance(tickets, dict) else ():
        publish = ticket.get("publish") if isinstance(ticket, dict) else None
        if isinstance(publish, dict) and isinstance(publish.get("group"), str):
            directory = Path(str(publish.get("path", ""))).parent
            if directory.is_relative_to("/run/eliot-broker/") and directory != Path("/run/eliot-broker"):
                found.setdefault(directory, publish["group"])
    return tuple(found.items())


def systemd_version() -> int:
    """The version of the systemd on this machine; the oldest supported where there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return OLDEST_SYSTEMD
    try:
        told = subprocess.run(  # noqa: S603 -- a fixed command
            [program, "--version"], capture_output=True, text=True, timeout=SYSTEMCTL_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return OLDEST_SYSTEMD
    match = re.match(r"systemd (\d+)", told)
    return int(match[1]) if match else OLDEST_SYSTEMD


def kernel_version(release: str) -> tuple[int, int]:
    """Major and minor of `uname -r`; (0, 0) where it is none."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
