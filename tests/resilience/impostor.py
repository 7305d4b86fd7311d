"""A TLS server with a certificate that nobody trusts: it notes what it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from broker.sandbox.certificates import CertificateAuthority


class Impostor:
    """`with Impostor(authority) as impostor`; `heard` is all that came through its TLS."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._context = authority.server_context()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="impostor", daemon=True)
        self.heard = b""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                with self._context.wrap_socket(client, server_side=True) as wrapped:
                    self.heard += wrapped.recv(65536)
