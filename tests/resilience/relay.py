"""A relay of bytes before the cloud: it counts what happens on its connections, and calls `on_event` at each.

An event is a connection accepted, a chunk from either side, a side closed: every step of the network from outside,
the TLS handshake included.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CHUNK_BYTES = 65536


class Relay:
    """Listens on a port of its own and passes everything on to `port`; `on_event(number)` comes first."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._count = 0
        self._serving = 0
        self.on_event: Callable[[int], None] = lambda _: None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.getsockname()[1])

    @property
    def idle(self) -> bool:
        """Whether no connection is open."""
        return self._serving == 0

    def reset(self, on_event: Callable[[int], None]) -> None:
        """Count from 1 again."""
        with self._lock:
            self._count, self.on_event = 0, on_event

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="relay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _event(self) -> None:
        with self._lock:
            self._count += 1
            self.on_event(self._count)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with self._lock:
                    self._serving += 1
                self._event()
                self._start(partial(self._serve, client))

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as cloud:
            back = threading.Thread(target=self._pump, args=(cloud, client), daemon=True)
            back.start()
            self._pump(client, cloud)
            back.join(10)
        with self._lock:
            self._serving -= 1

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                self._event()
                target.sendall(chunk)
            self._event()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
