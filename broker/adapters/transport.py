"""The one HTTP client: every request to the cloud goes through here, from the loop or from a worker thread.

Knows nothing of OAuth or of tickets. What it adds to aiohttp: our own trust anchors, proxies from the environment (and
no ~/.netrc), a bounded body, a deadline for the whole exchange, no redirects, no cookies, no silent second request.
The one invariant: the outcome is one HttpAnswer or one UpstreamError, and a request is sent at most once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from broker import __version__
from broker.adapters.transport_failures import Interrupted, TooLarge, network_failure, refused_header
from broker.adapters.transport_proxy import ProxySettings
from broker.core.answer import HttpAnswer
from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import SimpleNamespace

    from broker.ports import Clock

LARGEST_BODY_BYTES = 1024 * 1024
CONNECT_TIMEOUT_SECONDS = 5.0
TIMEOUT_SECONDS = 15.0
KEEPALIVE_SECONDS = 15.0
USER_AGENT = f"eliot-broker/{__version__}"


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


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """The system's trust anchors (or SSL_CERT_FILE's) and those of `ca_file` besides. Raises: ConfigError."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # an ssl.SSLError is one too
            why = "no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            problem = f"ca_file {ca_file} cannot be used: {why}"
            raise ConfigError(problem, problems=(problem,), hint="ca_file is a PEM file of CA certificates") from error
    return context


_SHARED: weakref.WeakValueDictionary[tuple[object, ...], ssl.SSLContext] = weakref.WeakValueDictionary()


def shared_tls_context(ca_file: Path | None = None) -> ssl.SSLContext | bool:
    """The same, once for all accounts with the same anchors, for each takes 1 MB and 50 ms. Raises: ConfigError.

    Without a `ca_file` it is True: aiohttp's own, made when it was imported. Files that changed are read anew.
    """
    if ca_file is None:
        return True
    key = (ca_file, *(_stamp(path) for path in (ca_file, ssl.get_default_verify_paths().cafile)))
    context = _SHARED.get(key)
    if context is None:
        context = _SHARED[key] = tls_context(ca_file)
    return context


def _stamp(path: Path | str | None) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path) if path is not None else None  # noqa: PTH116  # a str or a Path
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


class Network:
    """How one account reaches the cloud: trust anchors and proxies, made once and shared by both faces."""

    def __init__(self, clock: Clock, *, ca_file: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._clock = clock
        self._tls = shared_tls_context(ca_file)
        self._proxies = ProxySettings.from_environ(os.environ if environ is None else environ)

    def session(self, *, pooled: bool) -> aiohttp.ClientSession:
        """A session of the running loop; not pooled: each request closes its connection."""
        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            resolver=ThreadedResolver(),
            use_dns_cache=False,
            limit=8,
            **({"keepalive_timeout": KEEPALIVE_SECONDS} if pooled else {"force_close": True}),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            middlewares=(_once,),
            trace_configs=[_sent_trace()],
        )

    async def exchange(self, session: aiohttp.ClientSession, request: HttpRequest) -> HttpAnswer:
        """Make the request once and read the whole answer. Raises: UpstreamError."""
        refused = refused_header(request.headers, request.service)
        if refused is not None:
            raise refused
        progress = {"sent": False}
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await self._ask(session, request, progress)
        except (aiohttp.ClientError, TimeoutError, Interrupted, TooLarge, OSError, ValueError) as error:
            wall_seconds = self._clock.read().wall_seconds
            raise network_failure(
                error,
                service=request.service,
                host=_host(request.url),
                sent=progress["sent"],
                seconds=request.timeout_seconds,
                wall_seconds=wall_seconds,
            ) from None  # the library's error may carry the URL, the proxy's password or a header

    async def _ask(self, session: aiohttp.ClientSession, request: HttpRequest, progress: dict[str, bool]) -> HttpAnswer:
        proxy = self._proxies.proxy_for(request.url, service=request.service)
        async with session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=request.connect_timeout_seconds),
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers if proxy else None,
            trace_request_ctx=progress,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > LARGEST_BODY_BYTES:
                    raise TooLarge
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpAnswer(response.status, headers, bytes(body), request.url)


class Transport:
    """The asynchronous face: one pool of connections on the loop that first used it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._session: aiohttp.ClientSession | None = None

    async def request(self, request: HttpRequest) -> HttpAnswer:
        """One exchange. Raises: UpstreamError."""
        if self._session is None:
            self._session = self._network.session(pooled=True)
        return await self._network.exchange(self._session, request)

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
        loop = _ShortLoop()
        try:
            return loop.run_until_complete(self._alone(request))
        finally:
            loop.hang_up()
            loop.close()

    async def _alone(self, request: HttpRequest) -> HttpAnswer:
        async with self._network.session(pooled=False) as session:
            return await self._network.exchange(session, request)


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


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again by itself when the connection breaks: a call costs quota."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Interrupted from error


def _sent_trace() -> aiohttp.TraceConfig:
    """Note in the request's context that there is a connection, so that what fails from here on is ambiguous."""

    async def note(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        context.trace_request_ctx["sent"] = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(note)
    trace.on_connection_reuseconn.append(note)
    return trace


def _host(url: str) -> str:
    try:
        return URL(url).host or "?"
    except ValueError:
        return "?"
