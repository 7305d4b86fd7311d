"""The exchange itself: what is set and added to aiohttp's client, and what its failures become.

Loaded by transport.py when the first request is made, for aiohttp takes 0.3 s and more memory than all that is ours.
The one invariant: the outcome is one HttpAnswer or one UpstreamError, and a request is sent at most once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from broker import __version__
from broker.adapters.transport_failures import Interrupted, TooLarge, network_failure, refused_header
from broker.core.answer import HttpAnswer

if TYPE_CHECKING:
    import ssl
    from types import SimpleNamespace

    from broker.adapters.transport import HttpRequest
    from broker.adapters.transport_proxy import ProxySettings
    from broker.ports import Clock

LARGEST_BODY_BYTES = 1024 * 1024
KEEPALIVE_SECONDS = 15.0
USER_AGENT = f"eliot-broker/{__version__}"


class HttpClient:
    """aiohttp's client with one account's trust anchors (True: aiohttp's own) and proxies."""

    def __init__(self, clock: Clock, tls: ssl.SSLContext | bool, proxies: ProxySettings) -> None:
        self._clock = clock
        self._tls = tls
        self._proxies = proxies

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
