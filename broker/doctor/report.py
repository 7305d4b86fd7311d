"""A bug report as one text: what the doctor found, configuration, status, log; nothing that is somebody's secret.

Whatever looks like a token is taken out, and ids and people are replaced by marks, the same mark for the same id, so
that a report can still be understood. The one invariant: it takes out too much rather than too little.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from broker.adapters.redaction import redacted
from broker.client.problems import ClientError
from broker.config import secret_references
from broker.config.view import show_config
from broker.doctor.configuration import look_at_configuration
from broker.doctor.examination import Patient, examine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOG_LINES = 400
LOG_SECONDS = 10
UNIT = "eliot-broker.service"
OURS = frozenset({"machine", "configuration", "status"})
PERSONAL = frozenset({"subject", "display_name"})

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,4}")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_MAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_LONG = re.compile(r"[A-Za-z0-9_+=~-]{40,}")


def make_report(patient: Patient, *, salt: str) -> str:
    """The whole report; `salt` keeps its marks from being the same in another one."""
    people: set[str] = set()
    parts = list(_parts(patient, people))
    return "\n\n".join(f"==== {title}\n{_clean(title, text, salt, people)}" for title, text in parts) + "\n"


def _clean(title: str, text: str, salt: str, people: Iterable[str]) -> str:
    """Our own documents hold no secret and speak of `code` and `state`; a log may hold other people's words."""
    return anonymous(text if title in OURS else redacted(text), salt, people)


def anonymous(text: str, salt: str, people: Iterable[str] = ()) -> str:
    """The text with marks for tokens, ids, mail addresses and the names in `people`."""
    text = _JWT.sub("<token>", text)
    for person in sorted((each for each in people if each), key=len, reverse=True):
        text = text.replace(person, _mark("person", person, salt))
    text = _MAIL.sub(lambda found: _mark("mail", found[0], salt), text)
    text = _UUID.sub(lambda found: _mark("id", found[0].lower(), salt), text)
    return _LONG.sub(lambda found: _mark("long", found[0], salt), text)


def _mark(kind: str, value: str, salt: str) -> str:
    return f"<{kind} {hashlib.sha256(f'{salt}{value}'.encode()).hexdigest()[:6]}>"


def _parts(patient: Patient, people: set[str]) -> Iterator[tuple[str, str]]:
    yield "machine", f"{platform.platform()}\nPython {platform.python_version()}"
    yield "doctor", "\n".join(_finding_lines(patient))
    yield "configuration", _configuration(patient, people)
    yield "status", _status(patient, people)
    yield "log", service_log()


def _finding_lines(patient: Patient) -> Iterator[str]:
    for finding in examine(patient):
        yield f"{finding.level:8}{finding.area}: {finding.text}"


def _configuration(patient: Patient, people: set[str]) -> str:
    config = look_at_configuration(patient.config_file, patient.environ).config
    if config is None:
        return "it cannot be used; see above"
    people.update(reference.value.reveal() for reference in secret_references(config))  # should one have got anywhere
    return json.dumps(show_config(config), indent=1, ensure_ascii=False)


def _status(patient: Patient, people: set[str]) -> str:
    try:
        status = patient.client.status()
    except ClientError as error:
        return f"not to be had: {error}"
    for row in status.get("accounts") or []:
        people.update(str(row[name]) for name in PERSONAL if row.get(name))
    return json.dumps(_without_people(status), indent=1, ensure_ascii=False)


def _without_people(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "<person>" if key in PERSONAL and each else _without_people(each) for key, each in value.items()}
    return [_without_people(each) for each in value] if isinstance(value, list) else value


def service_log() -> str:
    """The service's last lines from the journal, where there is one and we may read it."""
    program = shutil.which("journalctl")
    if program is None:
        return "there is no journal on this machine; add the last lines of the daemon's stderr"
    command = [program, "--unit", UNIT, "--lines", str(LOG_LINES), "--no-pager", "--output", "short-iso"]
    try:
        told = subprocess.run(  # noqa: S603 -- a fixed command
            command, capture_output=True, text=True, timeout=LOG_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the journal cannot be read: {type(error).__name__}"
    return told.stdout.strip() or "the journal has no line of this service"
