"""Who may read and write the files that matter: configuration, secrets, state, published tickets.

Looks and changes nothing. The one invariant: a file that cannot be looked at is told as such, not as fine.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from broker.config import secret_references
from broker.core.words import counted
from broker.doctor.finding import Finding, doubtful, fine, wrong

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from broker.config import Config

AREA = "permissions"
BY_OTHERS = stat.S_IWOTH
BY_GROUP_OR_OTHERS = 0o077


def look_at_permissions(config: Config) -> list[Finding]:
    """Every file and directory that the configuration names."""
    findings = [_not_writable_by_others(config.file), *_state(config.state.directory)]
    for reference in secret_references(config):
        if reference.source == "file":
            path = config.file.absolute().parent / reference.name
            findings.append(fine(AREA, f"{path}: mode {_mode(path.stat()):04o}, not open to everybody"))
    published = [ticket.publish for ticket in config.tickets.values() if ticket.publish is not None]
    return [*findings, *(_published(target.path.parent) for target in published)]


def _not_writable_by_others(path: Path) -> Finding:
    found = path.stat()
    if found.st_mode & BY_OTHERS:
        return wrong(AREA, f"{path} is writable by everybody: whoever writes it runs hooks", f"chmod o-w {path}")
    return fine(AREA, f"{path}: mode {_mode(found):04o}")


def _state(directory: Path) -> list[Finding]:
    try:
        found = directory.stat()
        names = sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return [fine(AREA, f"{directory} is not there yet; the first start makes it")]
    except PermissionError:
        return [doubtful(AREA, f"{directory} cannot be looked into from here", "run the doctor as root")]
    findings = []
    if _mode(found) & BY_GROUP_OR_OTHERS:
        findings.append(
            wrong(AREA, f"{directory} has mode {_mode(found):04o}", f"chmod 0700 {directory}", "state_unavailable")
        )
    for name in names:
        status = (directory / name).lstat()
        if stat.S_ISREG(status.st_mode) and _mode(status) & BY_GROUP_OR_OTHERS:
            findings.append(wrong(AREA, f"{directory / name} has mode {_mode(status):04o}", "chmod 0600 it"))
        if status.st_uid != found.st_uid:
            remedy = f"chown it to user {found.st_uid}: a daemon run by hand as root may have left it"
            findings.append(wrong(AREA, f"{directory / name} is user {status.st_uid}'s", remedy, "state_unavailable"))
    return findings or [fine(AREA, f"{directory}: mode {_mode(found):04o}, {counted(len(names), 'file')}")]


def _published(directory: Path) -> Finding:
    try:
        found = directory.stat()
    except FileNotFoundError:
        return fine(AREA, f"{directory} for published tickets is not there yet; the first one makes it")
    except PermissionError:
        return doubtful(AREA, f"{directory} cannot be looked at from here", "run the doctor as root")
    if found.st_mode & BY_OTHERS and not found.st_mode & stat.S_ISVTX:
        return wrong(
            AREA, f"{directory} is writable by everybody: nothing is published there", f"chmod o-w {directory}"
        )
    if found.st_mode & stat.S_IWGRP and found.st_gid != 0 and not found.st_mode & stat.S_ISVTX:
        said = f"{directory} is writable by group {found.st_gid}: nothing is published there"
        return wrong(AREA, said, f"chmod g-w {directory}")
    return fine(AREA, f"{directory}: tickets may be published there")


def _mode(found: os.stat_result) -> int:
    return stat.S_IMODE(found.st_mode)
