"""Templates to unit files: marked lines are kept where they apply, names in braces filled in.

A line may begin with marks: `@254 ` (systemd of that version or later), `@kernel-6.13 `, `@system `, `@user `. Pure.
The one invariant: what is rendered depends on the Installation alone, so the same one gives the same bytes.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from broker.units.installation import Installation

MARK = re.compile(r"@(system|user|\d+|kernel-\d+\.\d+)(?: |$)")
PLACE = re.compile(r"\{(\w+)\}|\{\{|\}\}")
SAFE_WORD = re.compile(r"[A-Za-z0-9_./:@=+-]+")
UNITS = ("eliot-broker.service", "eliot-broker.socket", "eliot-broker-online.service", "eliot-broker-online.target")
SYSTEM_UNITS = (*UNITS, "eliot-broker-credentials.service")
CREDENTIAL_PREFIX = "eliot-broker."


def render(installation: Installation) -> dict[str, str]:
    """Every file by its path below the root (system) or below the user's configuration directory (--user)."""
    if installation.of_user:
        return {f"systemd/user/{name}": _text(name, installation) for name in UNITS}
    rendered = {f"etc/systemd/system/{name}": _text(name, installation) for name in SYSTEM_UNITS}
    rendered["etc/sysusers.d/eliot-broker.conf"] = _text("sysusers.conf", installation)
    rendered["etc/tmpfiles.d/eliot-broker.conf"] = _text("tmpfiles.conf", installation)
    return rendered


def _text(name: str, installation: Installation) -> str:
    template = files("broker.units").joinpath("templates", name).read_text("utf-8")
    values = _values(installation)
    lines = []
    for marked in template.splitlines():
        line = _unmarked(marked, installation)
        if line is not None:
            lines += _filled(line, values).splitlines() or [""]
    return "\n".join(lines) + "\n"


def _filled(line: str, values: dict[str, str]) -> str:
    """Names in braces become their values, doubled braces single ones."""
    return PLACE.sub(lambda found: values[found[1]] if found[1] else found[0][0], line)


def _unmarked(line: str, installation: Installation) -> str | None:
    """The line without its marks; None where one does not apply."""
    while mark := MARK.match(line):
        if not _applies(mark[1], installation):
            return None
        line = line[mark.end() :]
    return line


def _applies(mark: str, installation: Installation) -> bool:
    if mark in {"system", "user"}:
        return installation.of_user == (mark == "user")
    if mark.startswith("kernel-"):
        major, minor = mark.removeprefix("kernel-").split(".")
        return not installation.of_user and installation.kernel >= (int(major), int(minor))
    return installation.systemd_version >= int(mark)


def _values(installation: Installation) -> dict[str, str]:
    config = installation.config
    return {
        "program": word(installation.program),
        "user": installation.user,
        "serve_arguments": "" if config is None else f" --config {word(config)}",
        "socket_path": installation.socket_path,
        "watchdog_seconds": str(installation.watchdog_seconds),
        "wanted_by": "default.target" if installation.of_user else "multi-user.target",
        "credentials": "\n".join(
            f"LoadCredentialEncrypted={name}:{CREDENTIAL_PREFIX}{name}" for name in installation.credentials
        ),
        "publish_directories": "\n".join(
            f"d {word(directory)} 2755 {installation.user} {group}" for directory, group in installation.groups
        ),
    }


def word(path: Path) -> str:
    """A path as one word of a unit file (systemd.syntax(7)): specifiers doubled, quoted where it must be."""
    text = str(path).replace("%", "%%")
    if SAFE_WORD.fullmatch(text.replace("%%", "")):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
