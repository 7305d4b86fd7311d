"""A daemon that answers what it was told to, over a real Unix socket; one thread a connection.

Knows nothing of broker/. The one invariant: a request that nobody prepared an answer for is a 404 problem.
"""

from __future__ import annotations

import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

PHRASES = {200: "OK", 201: "Created", 304: "Not Modified"}


class Received:
    """One request as the daemon saw it."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = False
    fake: FakeDaemon


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        head = self.rfile.readline().decode().split()
        headers = {}
        while (line := self.rfile.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        self.server.fake.reply(Received(head[0], head[1], headers, body), self.wfile.write)


class FakeDaemon:
    """A context manager; `path` is its socket, `requests` what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Received] = []
        self._answers: dict[tuple[str, str], list[bytes]] = {}
        self._before_silence: dict[tuple[str, str], bytes] = {}
        self.asked = threading.Event()  # set by the first request
        self._hold = threading.Event()

    def answer(self, method: str, target: str, document: dict[str, Any], status: int = 200) -> None:
        """Prepare an answer; several for one target are given in order, the last one again and again."""
        self.raw(method, target, encode(status, document))

    def problem(self, method: str, target: str, code: str, remedy: str, status: int, **more: Any) -> None:
        """Prepare a problem."""
        document = {"detail": f"it is {code}", "code": code, "remedy": remedy, "status": status, **more}
        self.answer(method, target, document, status)

    def raw(self, method: str, target: str, content: bytes) -> None:
        """Prepare bytes."""
        self._answers.setdefault((method, target), []).append(content)

    def silent(self, method: str, target: str, *, after: bytes = b"") -> None:
        """Accept the request, and say nothing (after these bytes) until the daemon is closed."""
        self._answers[method, target] = []
        self._before_silence[method, target] = after

    def targets(self) -> list[str]:
        """What was asked, in order."""
        return [f"{each.method} {each.target}" for each in self.requests]

    def reply(self, request: Received, write: Callable[[bytes], object]) -> None:
        self.requests.append(request)
        self.asked.set()
        answers = self._answers.get((request.method, request.target))
        if answers is None:
            write(encode(404, {"detail": f"nothing at {request.target}", "code": "bad_request", "remedy": "fix"}))
        elif not answers:
            write(self._before_silence[request.method, request.target])
            self._hold.wait(30)
        else:
            write(answers.pop(0) if len(answers) > 1 else answers[0])

    def __enter__(self) -> Self:
        self._server = _Server(str(self.path), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def encode(status: int, document: dict[str, Any]) -> bytes:
    """An answer with Content-Length."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status} {PHRASES.get(status, 'Problem')}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A chunked answer, one chunk for each."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n\r\n"
    return head + body + (b"0\r\n\r\n" if end else b"")
