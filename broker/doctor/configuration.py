"""broker.toml as the daemon would read it, also where its secrets are not within reach of whoever runs the doctor.

A credential of systemd is there for the service only: a placeholder stands in for it, so that everything else is
checked. The one invariant: a placeholder is told, and never leaves this module's configuration.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.config.file import find_config_file, read_config
from broker.config.warnings import config_warnings
from broker.core.words import counted
from broker.doctor.finding import Finding, doubtful, fine, wrong
from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from broker.config import Config

AREA = "configuration"
REFERENCE = re.compile(r"(credential|env):([A-Za-z0-9._@:+-]{1,255})")
RUNNING_CREDENTIALS = Path("/run/credentials/eliot-broker.service")
SEALED = Path("/etc/credstore.encrypted")
PLACEHOLDER = "placeholder-of-the-doctor-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found; `config` None where it cannot be used; `stand_ins` are the secrets that were not read."""

    config: Config | None
    findings: list[Finding]
    stand_ins: frozenset[str] = frozenset()


def look_at_configuration(explicit: Path | None, environ: Mapping[str, str]) -> Reading:
    """Read it, every problem at once."""
    try:
        path = find_config_file(explicit, environ)
    except ConfigError as error:
        return Reading(None, [wrong(AREA, error.message, "write one: eliot-broker setup")])
    with tempfile.TemporaryDirectory(prefix="eliot-doctor-") as directory:
        environment, stand_ins = _environment(path, environ, Path(directory))
        try:
            config = read_config(path, environment)
        except ConfigError as error:
            remedy = "correct it, then: eliot-broker config check"
            return Reading(None, [wrong(AREA, line, remedy) for line in error.problems or (error.message,)], stand_ins)
    found = [
        fine(AREA, f"{path}: {counted(len(config.accounts), 'account')}, {counted(len(config.tickets), 'ticket')}")
    ]
    found += [doubtful(AREA, line, "change it where it is not meant") for line in config_warnings(config)]
    return Reading(config, [*found, *_told(stand_ins)], stand_ins)


def _environment(path: Path, environ: Mapping[str, str], directory: Path) -> tuple[dict[str, str], frozenset[str]]:
    """The environment of the service as far as it can be had, and placeholders for the rest."""
    environment = dict(environ)
    real = Path(environment.get("CREDENTIALS_DIRECTORY") or RUNNING_CREDENTIALS)
    stand_ins = set()
    for source, name in set(_references(path)):
        if source == "env" and name not in environment:
            environment[name] = PLACEHOLDER
            stand_ins.add(f"env:{name}")
        elif source == "credential":
            held = directory / name
            if os.access(real / name, os.R_OK):
                held.symlink_to((real / name).absolute())  # a copy would be a secret on a disk
            else:
                stand_ins.add(f"credential:{name}")
                held.write_bytes(PLACEHOLDER.encode())
    environment["CREDENTIALS_DIRECTORY"] = str(directory)
    return environment, frozenset(stand_ins)


def _references(path: Path) -> Iterator[tuple[str, str]]:
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return  # read_config says what is wrong with it
    for text in _strings(document):
        found = REFERENCE.fullmatch(text)
        if found and found[2] not in {".", ".."}:
            yield found[1], found[2]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)


def _told(stand_ins: frozenset[str]) -> list[Finding]:
    return [_secret_not_read(reference) for reference in sorted(stand_ins)]


def _secret_not_read(reference: str) -> Finding:
    source, _, name = reference.partition(":")
    if source == "env":
        return doubtful("secrets", f"{reference} is not set here", "see that it is set where the broker runs")
    sealed = SEALED / f"eliot-broker.{name}"
    try:
        there = sealed.exists()
    except OSError:
        there = False
    if there:
        return fine("secrets", f"{reference} is sealed in {sealed}; only the service reads it")
    return doubtful("secrets", f"{reference} cannot be seen from here", f"seal it: eliot-broker credentials {name}")
