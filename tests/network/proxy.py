"""An HTTP proxy for CONNECT on loopback, in a thread: with a password, as a switchboard, or opening TLS.

`routes` says where a name leads ("" : every other name); so the cloud's real host names work with no resolver. With
`opens_tls` it shows a certificate of that authority for the name asked and reads along, as a company's proxy does.
The one invariant: it connects to loopback only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import ssl
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from broker.sandbox.certificates import CertificateAuthority

Address = tuple[str, int]
START_SECONDS = 10
LARGEST_CHUNK = 65_536


class Proxy:
    """`with Proxy(...) as proxy`; `asked` are the CONNECT targets in order, `refused` how many lacked the password."""

    def __init__(
        self,
        *,
        routes: Mapping[str, Address] | None = None,
        user: str | None = None,
        password: str = "",
        opens_tls: CertificateAuthority | None = None,
    ) -> None:
        self._routes = dict(routes or {})
        self._expected = None if user is None else base64.b64encode(f"{user}:{password}".encode()).decode()
        self._authority = opens_tls
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy", daemon=True)
        self._ready = threading.Event()
        self.asked: list[str] = []
        self.refused = 0
        self.port = 0

    @property
    def url(self) -> str:
        """What goes into HTTPS_PROXY, without credentials."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(START_SECONDS), "the proxy did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # a client that does not trust us, or that left
        finally:
            self._open.discard(task)
            _cut(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target = head.split(" ")[1]
        if self._expected is not None and f"Proxy-Authorization: Basic {self._expected}" not in head:
            self.refused += 1
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        self.asked.append(target)
        host, _, port = target.rpartition(":")
        address = self._routes.get(host) or self._routes.get("") or (host, int(port))
        assert ipaddress.ip_address(address[0]).is_loopback, f"{target} leads away from this machine"
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        if self._authority is None:
            there = await asyncio.open_connection(*address)
        else:
            await writer.start_tls(self._certificate_for(host, self._authority))
            there = await asyncio.open_connection(*address, ssl=_trusting(), server_hostname="localhost")
        try:
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        finally:
            _cut(there[1])

    def _certificate_for(self, host: str, authority: CertificateAuthority) -> ssl.SSLContext:
        if host not in self._contexts:
            self._contexts[host] = authority.server_context((host,))
        return self._contexts[host]


def _cut(writer: asyncio.StreamWriter) -> None:
    """Drop a connection at once; a TLS transport that is closed already must not be aborted again (AttributeError)."""
    if not writer.transport.is_closing():
        writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(LARGEST_CHUNK):
        sink.write(chunk)
        await sink.drain()
    with contextlib.suppress(OSError, NotImplementedError):
        if sink.can_write_eof():
            sink.write_eof()
        else:
            sink.close()  # TLS knows no half of a connection


def _trusting() -> ssl.SSLContext:
    """The proxy's own way on: it does not look at the certificate, as its target is on loopback."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
