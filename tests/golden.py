"""Golden files: what a command says, kept as text that a person has read.

UPDATE_GOLDEN=1 writes all of them anew, to be read before they are kept. What differs from run to run (times, paths,
ports, ids, tokens) is replaced by its kind, here and nowhere else. The one invariant: no token and no key of the
sandbox is ever written into a golden file.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, Self

from broker import __version__
from broker.cli.main import main
from broker.cli.terminal import Terminal
from broker.sandbox import LoginPageError, credentials, follow_login

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CHAPTER = re.compile(r"^== (.+)\n((?:(?!== ).*\n)*)", re.MULTILINE)
COLUMNS = "100"  # as wide as help is shown to a test, whatever the window
SECRETS = (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY, "eyJ")
VARYING = (
    (r"\beyJ[\w-]+\.[\w-]+\.[\w-]*", "TOKEN"),
    (r"https?://[^\s\"',;]+", "URL"),
    (r"127\.0\.0\.1(:\d+)?|\[?::1\]?:\d+", "HOST"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "TIME"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
    (r"Python 3\.\S+, OpenSSL [^\",\n]+", "Python, OpenSSL"),
    (r"(aiohttp|apscheduler|authlib|cryptography|joserfc|msal) \d[\w.]*", r"\1"),
    (r"(?<!\w)-?\d+(\.\d+)? (ms|s|min|h|d|days)\b", r"N \2"),
    (r"next (refresh|renewal|attempt) in N \w+", r"next \1 in N"),  # a backoff is drawn
    (r"\b(key|id|fingerprint) [0-9a-f]{4,}\b", r"\1 ID"),
    (r"\bprocess \d+", "process ID"),
    (r"\bgeneration \d+", "generation N"),
    (r"\b\d+ files\b", "N files"),  # of the state, some of which are written after READY
    (r'"(\w*id)": "[0-9a-f]{16}"', r'"\1": "ID"'),
    (r'"(now|since|\w+_at|\w+_in|\w+_seconds|stopped_for|generation|login|tickets)": -?\d+(\.\d+)?\b', r'"\1": N'),
)


def normalised(text: str, **names: object) -> str:
    """`text` with what varies replaced; `names`: NAME=path that stands for itself."""
    for name, value in names.items():
        text = text.replace(str(value), name)
    for pattern, kind in VARYING:
        text = re.sub(pattern, kind, text)
    return text.replace(__version__, "VERSION")


def chapters(file: Path) -> dict[str, str]:
    """The chapters of a golden file by their titles."""
    return dict(CHAPTER.findall(file.read_text())) if file.exists() else {}


def check(file: Path, title: str, said: str) -> None:
    """Hold a text against its chapter of a golden file. Raises: AssertionError."""
    assert [secret for secret in SECRETS if secret in said] == [], "a secret would be written down"
    said = "".join(f"{line.rstrip()}\n" for line in said.splitlines())
    known = chapters(file)
    if os.environ.get("UPDATE_GOLDEN"):
        known[title] = said
        _write(file, known)
    assert said == known.get(title), f"{file.name}: {title}\n{said}"


def check_titles(file: Path, wanted: Iterable[str]) -> None:
    """Every text that a test holds against `file` is there, and nothing that no test looks at."""
    titles = set(wanted)
    if os.environ.get("UPDATE_GOLDEN"):
        _write(file, {title: text for title, text in chapters(file).items() if title in titles})
        return  # those that are new are written by their own tests
    assert chapters(file).keys() == titles


def _write(file: Path, known: Mapping[str, str]) -> None:
    file.write_text("".join(f"== {name}\n{body}" for name, body in sorted(known.items())))


def say(*arguments: str, given: str = "", environ: dict[str, str] | None = None, socket: Path | None = None) -> str:
    """Run a command in this process; its line, what it prints (stderr after a line that says so), its exit code."""
    return _said(Terminal(io.StringIO(given), io.StringIO(), io.StringIO(), environ or {}), arguments, socket)


def log_in(*arguments: str, ca_file: Path | None, socket: Path, environ: dict[str, str] | None = None) -> str:
    """Like `say`, with a person before it who opens the URL that is printed and pastes what the browser ends at.

    `ca_file` vouches for the cloud; None: nobody opens it, and nothing is pasted.
    """
    with Person(ca_file, environ or {}) as person:
        return _said(person, arguments, socket)


def _said(terminal: Terminal, arguments: tuple[str, ...], socket: Path | None) -> str:
    where = [] if socket is None else ["--socket", str(socket)]
    code = main([*where, *arguments], terminal)
    assert isinstance(terminal.stdout, io.StringIO)
    assert isinstance(terminal.stderr, io.StringIO)
    out, told = terminal.stdout.getvalue(), terminal.stderr.getvalue()
    told = f"-- stderr\n{told}" if told else ""
    return f"$ eliot-broker {' '.join(arguments)}\n{out}{told}exit {code}\n"


class Person(Terminal):
    """Somebody who logs in as told, as soon as the command waits for it."""

    def __init__(self, ca_file: Path | None, environ: dict[str, str]) -> None:
        reading, self._writing = os.pipe()
        super().__init__(os.fdopen(reading), io.StringIO(), io.StringIO(), environ)
        self._ca_file = ca_file

    def can_read(self, seconds: float) -> bool:
        """Now it waits."""
        if self._writing >= 0:
            self._log_in()
            self._leave()
        return super().can_read(seconds)

    def _log_in(self) -> None:
        assert isinstance(self.stdout, io.StringIO)
        url = re.search(r"https://[^\s\"]+", self.stdout.getvalue())
        if self._ca_file is None or url is None:
            return
        try:
            os.write(self._writing, f"{follow_login(url[0], self._ca_file, answer=None)}\n".encode())
        except LoginPageError as page:
            self.note(f"[the page in the browser: {page}]")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        self.stdin.close()

    def _leave(self) -> None:
        """Nothing more will be typed."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1
