"""A DNS server on a loopback address and port 53, in a thread, that answers, fails, keeps silent or lies as it is told.

Only for processes whose /etc/resolv.conf names it: `with_resolver` gives a command a mount namespace with such a file.
The one invariant: it knows one name; every other does not exist.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

ADDRESS = "127.0.0.77"
PORT = 53
NAME_ERROR, SERVER_FAILURE = 3, 2
A_RECORD = 1

Mood = Literal["truth", "failure", "no such name", "silence", "lie"]


class NameServer:
    """`with NameServer(name) as server`; `server.mood = "failure"`. A lie is an address at which nobody listens."""

    truth = "127.0.0.1"
    lie = "127.0.0.99"

    def __init__(self, name: str) -> None:
        self._name = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ADDRESS, PORT))
        self._thread = threading.Thread(target=self._serve, name="name-server", daemon=True)
        self.mood: Mood = "truth"
        self.asked = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.sendto(b"", (ADDRESS, PORT))
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(512)
            if not query:
                return
            self.asked += 1
            if self.mood != "silence":
                self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        """RFC 1035 section 4: the header, the question again and, for an A question, one record."""
        end = query.index(b"\0", 12) + 5
        question, (kind,) = query[12:end], struct.unpack("!H", query[end - 4 : end - 2])
        known = question[:-4].lower() == self._name and self.mood in {"truth", "lie"}
        code = SERVER_FAILURE if self.mood == "failure" else 0 if known else NAME_ERROR
        records = b""
        if known and kind == A_RECORD:
            address = socket.inet_aton(self.lie if self.mood == "lie" else self.truth)
            records = b"\xc0\x0c" + struct.pack("!HHIH", A_RECORD, 1, 0, 4) + address
        flags = 0x8180 | code
        return query[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0) + question + records


def with_resolver(directory: Path, command: list[str]) -> list[str]:
    """The command that runs `command` where only this server resolves names; needs root."""
    resolv = directory / "resolv.conf"
    resolv.write_text(f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n")
    script = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]
