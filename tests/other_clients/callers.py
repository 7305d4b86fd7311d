"""One request to the broker's socket through other people's clients, each with an answer of the same form.

The one invariant: nothing of the broker's own client library is used.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; `lines`: hang up as soon as so many lines of the body are there."""

    socket_path: Path
    target: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def document(self) -> Any:
        """The body as JSON; of a stream, its last whole line."""
        return json.loads(self.body.strip().splitlines()[-1])


def with_curl(ask: Ask) -> Answer:
    """curl, as a person at a shell has it."""
    command = ["curl", "-sS", "-i", "-N", "-X", ask.method, "--unix-socket", str(ask.socket_path)]
    for name, value in ask.headers.items():
        command += ["-H", f"{name}: {value}"]
    return _parsed(_run([*command, f"http://localhost{ask.target}"], ask.lines))


def with_node(ask: Ask) -> Answer:
    """Node's http."""
    lines = [] if ask.lines is None else [str(ask.lines)]
    arguments = [str(ask.socket_path), ask.method, ask.target, json.dumps(dict(ask.headers)), *lines]
    return Answer(**json.loads(_run(["node", str(HERE / "client.mjs"), *arguments], None)))


def with_rust(ask: Ask) -> Answer:
    """Rust's standard library."""
    headers = [f"{name}: {value}" for name, value in ask.headers.items()]
    lines = [] if ask.lines is None else ["--lines", str(ask.lines)]
    return _parsed(_run([_rust_program(), str(ask.socket_path), ask.method, ask.target, *headers, *lines], None))


@lru_cache
def _rust_program() -> str:
    program = Path(mkdtemp(prefix="other-clients-")) / "client"
    subprocess.run(["rustc", "-o", str(program), str(HERE / "client.rs")], check=True, timeout=120)
    return str(program)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


def with_http_client(ask: Ask) -> Answer:
    """Python's http.client."""
    connection = _UnixConnection(ask.socket_path)
    connection.request(ask.method, ask.target, headers=dict(ask.headers))
    response = connection.getresponse()
    body = response.read() if ask.lines is None else b"".join(response.readline() for _ in range(ask.lines))
    connection.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body.decode())


def with_aiohttp(ask: Ask) -> Answer:
    """Aiohttp's UnixConnector."""
    return asyncio.run(_aiohttp(ask))


async def _aiohttp(ask: Ask) -> Answer:
    connector = aiohttp.UnixConnector(str(ask.socket_path))
    timeout = aiohttp.ClientTimeout(TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.request(ask.method, f"http://localhost{ask.target}", headers=ask.headers) as response,
    ):
        if ask.lines is None:
            body = await response.read()
        else:
            body = b"".join([await response.content.readline() for _ in range(ask.lines)])
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, body.decode())


CALLERS: dict[str, Callable[[Ask], Answer]] = {
    "curl": with_curl,
    "python": with_http_client,
    "aiohttp": with_aiohttp,
}
if shutil.which("node") or os.environ.get("CI") == "true":
    CALLERS["node"] = with_node
if shutil.which("rustc"):  # where the machine has it
    CALLERS["rust"] = with_rust


def _run(command: list[str], lines: int | None) -> str:
    """What a program prints; killed after so many lines of body."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if lines is None:
            out, errors = process.communicate(timeout=TIMEOUT_SECONDS)
            assert process.returncode == 0, errors
            return out
        assert process.stdout is not None
        read = []
        while (line := process.stdout.readline()).strip():
            read.append(line)
        read += [line, *(process.stdout.readline() for _ in range(lines))]
        process.kill()
        return "".join(read)


def _parsed(text: str) -> Answer:
    """Status, headers and body of a raw answer, its chunks put together."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *rest = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if headers.get("transfer-encoding") == "chunked" and not body.startswith("{"):
        body = "".join(line + "\n" for line in body.splitlines() if line.startswith("{"))
    return Answer(int(first.split()[1]), headers, body)
