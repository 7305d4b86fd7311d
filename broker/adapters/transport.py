"""The one HTTP client: every request to the cloud goes through here, from the loop or from a worker thread.

Knows nothing of OAuth or of tickets. What is added to aiohttp (transport_client.py): our own trust anchors, proxies
from the environment (and no ~/.netrc), a bounded body, a deadline for the whole exchange, no redirects, no cookies, no
silent second request. aiohttp and the system's anchors are no part of a start: they are loaded right after, or when
the first request is made.
The one invariant: the outcome is one HttpAnswer or one UpstreamError, and a request is sent at most once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import aiohttp

    from broker.adapters.transport_client import HttpClient
    from broker.core.answer import HttpAnswer
    from broker.ports import Clock

CONNECT_TIMEOUT_SECONDS = 5.0
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; `service` names the other side in errors, `timeout_seconds` bounds the whole exchange."""

    method: str
    url: str
    service: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    timeout_seconds: float = TIMEOUT_SECONDS


class TlsContext:
    """The trust anchors of `ca_file` and, from its first use on, the system's (or SSL_CERT_FILE's) besides.

    Raises: ConfigError, where `ca_file` cannot be used.
    """

    def __init__(self, ca_file: Path) -> None:
        self._lock = threading.Lock()
        self._complete = False
        try:
            self._context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # an ssl.SSLError is one too
            why = "no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            problem = f"ca_file {ca_file} cannot be used: {why}"
            raise ConfigError(problem, problems=(problem,), hint="ca_file is a PEM file of CA certificates") from error

    def complete(self) -> ssl.SSLContext:
        """With the system's anchors. Blocking: the first time it reads them, 50 ms."""
        with self._lock:
            if not self._complete:
                self._context.load_default_certs()
                self._complete = True
        return self._context


_SHARED: weakref.WeakValueDictionary[tuple[object, ...], TlsContext] = weakref.WeakValueDictionary()


def shared_tls_context(ca_file: Path) -> TlsContext:
    """The same, once for all accounts with the same anchors, for each takes 1 MB. Raises: ConfigError.

    Files that changed are read anew.
    """
    key = (ca_file, *(_stamp(path) for path in (ca_file, ssl.get_default_verify_paths().cafile)))
    context = _SHARED.get(key)
    if context is None:
        context = _SHARED[key] = TlsContext(ca_file)
    return context


def _stamp(path: Path | str | None) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path) if path is not None else None  # noqa: PTH116  # a str or a Path
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


class Network:
    """How one account reaches the cloud: trust anchors and proxies, shared by both faces.

    `ca_file` is read at once, the client made when it is first needed. Raises: ConfigError, where `ca_file` cannot be
    used.
    """

    def __init__(self, clock: Clock, *, ca_file: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._clock = clock
        self._tls = None if ca_file is None else shared_tls_context(ca_file)
        self._environ = os.environ if environ is None else environ
        self._client: HttpClient | None = None

    def client(self) -> HttpClient:
        """What makes the exchanges. Blocking: the first time it loads aiohttp and the system's anchors, 0.3 s."""
        if self._client is None:
            from broker.adapters.transport_client import HttpClient
            from broker.adapters.transport_proxy import ProxySettings

            tls = True if self._tls is None else self._tls.complete()  # True: aiohttp's own, made when it is imported
            self._client = HttpClient(self._clock, tls, ProxySettings.from_environ(self._environ))
        return self._client


def load() -> None:
    """Have aiohttp ready before a request is made. Blocking, for a thread."""
    import broker.adapters.transport_client  # noqa: F401


class Transport:
    """The asynchronous face: one pool of connections on the loop that first used it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._client: HttpClient | None = None
        self._session: aiohttp.ClientSession | None = None

    async def request(self, request: HttpRequest) -> HttpAnswer:
        """One exchange. Raises: UpstreamError."""
        if self._client is None:
            self._client = await asyncio.to_thread(self._network.client)
        if self._session is None:
            self._session = self._client.session(pooled=True)
        return await self._client.exchange(self._session, request)

    async def close(self) -> None:
        """Drop the connections; the next request makes new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class BlockingHttp:
    """The blocking face, for worker threads: a loop of its own for each request, so that nothing can cancel it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def request(self, request: HttpRequest) -> HttpAnswer:
        """One exchange, over within `timeout_seconds`, whatever hangs. Raises: UpstreamError."""
        # Not asyncio.run: at its end it waits for the resolver's thread, and a dead DNS server holds that for minutes.
        client, loop = self._network.client(), _ShortLoop()
        try:
            return loop.run_until_complete(_alone(client, request))
        finally:
            loop.hang_up()
            loop.close()


async def _alone(client: HttpClient, request: HttpRequest) -> HttpAnswer:
    async with client.session(pooled=False) as session:
        return await client.exchange(session, request)


class _ShortLoop(asyncio.SelectorEventLoop):
    """A loop for one exchange: it cuts its connections at the end, as a polite TLS goodbye would outlive it."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[tuple[asyncio.WriteTransport, Any]] = []

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().create_connection(*args, **options)
        self._opened.append((transport, transport.get_extra_info("socket")))
        return transport, protocol

    def hang_up(self) -> None:
        """Abort what is open, and go round once more for it to be closed."""
        for transport, channel in self._opened:
            try:
                transport.abort()
            except AttributeError:  # a TLS transport that was closed twice, before Python 3.11.4 (Debian 12 has 3.11.2)
                with suppress(OSError):
                    channel.shutdown(socket.SHUT_RDWR)
        for _ in range(2):  # an aborted TLS transport closes its socket one round later
            self.call_soon(self.stop)
            self.run_forever()
