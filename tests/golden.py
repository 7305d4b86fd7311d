"""Golden files: what a command says, kept as text that a person has read.

UPDATE_GOLDEN=1 writes all of them anew, to be read before they are kept. What differs from run to run (times, paths,
ports, ids, tokens) is replaced by its kind. The one invariant: no token is ever written into a golden file.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING

from broker import __version__
from broker.cli.main import main
from broker.cli.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

CHAPTER = re.compile(r"^== (.+)\n((?:(?!== ).*\n)*)", re.MULTILINE)
VARYING = (
    (r"\beyJ[\w-]+\.[\w-]+\.[\w-]*", "TOKEN"),
    (r"https?://[^\s\"',;]+", "URL"),
    (r"127\.0\.0\.1(:\d+)?|\[?::1\]?:\d+", "HOST"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "TIME"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
    (r"Python 3\.\S+, OpenSSL .+", "Python, OpenSSL"),
    (r"(aiohttp|apscheduler|authlib|cryptography|joserfc|msal) \d[\w.]*", r"\1"),
    (r"(?<!\w)-?\d+(\.\d+)? (ms|s|min|h|d|days)\b", r"N \2"),
    (r"\b(key|id|fingerprint) [0-9a-f]{6,}\b", r"\1 ID"),
)


def normalised(text: str, **names: object) -> str:
    """`text` with what varies replaced; `names`: NAME=path that stands for itself."""
    for name, value in names.items():
        text = text.replace(str(value), name)
    for pattern, kind in VARYING:
        text = re.sub(pattern, kind, text)
    return text.replace(__version__, "VERSION")


def check(file: Path, title: str, said: str) -> None:
    """Hold a text against its chapter of a golden file. Raises: AssertionError."""
    assert "eyJ" not in said, "a token would be written down"
    said = "".join(f"{line.rstrip()}\n" for line in said.splitlines())
    known = dict(CHAPTER.findall(file.read_text())) if file.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        known[title] = said
        file.write_text("".join(f"== {name}\n{body}" for name, body in sorted(known.items())))
    assert said == known.get(title), f"{file.name}: {title}\n{said}"


def say(*arguments: str, given: str = "", environ: dict[str, str] | None = None, socket: Path | None = None) -> str:
    """Run a command in this process; its line, what it prints (stderr after a line that says so), its exit code."""
    streams = io.StringIO(given), io.StringIO(), io.StringIO()
    where = [] if socket is None else ["--socket", str(socket)]
    code = main([*where, *arguments], Terminal(*streams, environ or {}))
    out, told = streams[1].getvalue(), streams[2].getvalue()
    told = f"-- stderr\n{told}" if told else ""
    return f"$ eliot-broker {' '.join(arguments)}\n{out}{told}exit {code}\n"
