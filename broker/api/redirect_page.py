"""The page at the end of a login: takes the redirect on a loopback port and says in the browser how it went.

Knows no login: it hands the whole URL on; at a pending login's short address it sends the browser to where that login
begins. The one invariant: whatever the URL holds, the page is escaped text, without script, link or form, and a
redirect that failed or came twice harms nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING

from broker.api import web
from broker.api.general import QuietConnection
from broker.api.loopback import bind_loopback
from broker.api.problems import status_of
from broker.api.representation import SERVER_NAME
from broker.api.shelter import Shelter
from broker.core.secret import Secret
from broker.errors import BrokerError, ConfigError, Remedy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

MAX_TARGET_BYTES = 16384
MAX_CONNECTIONS = 32
IDLE_SECONDS = 10.0
LAST_PAGE_SECONDS = 5.0
STYLE = (
    ":root{color-scheme:light dark}body{font:1.1em/1.5 sans-serif;max-width:34em;margin:4em auto;padding:0 1em}"
    "p{overflow-wrap:anywhere}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": SERVER_NAME,
}
WHAT_NEXT = {
    Remedy.RETRY: "Reload this page in a moment, or begin the login again.",
    Remedy.LOGIN: "Begin the login again: eliot-broker login ACCOUNT",
    Remedy.FIX: "Correct what is said above, then begin the login again: eliot-broker login ACCOUNT",
    Remedy.NONE: "Please report it: eliot-broker bugreport",
}


class RedirectListener:
    """Awaits redirects on `listen` ("HOST:PORT", port 0: any) at `paths`; lives from `start` to `stop`.

    `on_redirect` takes the whole URL and gives the account's label; its BrokerError is shown. `begins` are the short
    addresses: a path, and the URL that the browser is sent to.
    """

    def __init__(
        self,
        listen: str,
        paths: frozenset[str],
        on_redirect: Callable[[Secret], Awaitable[str]],
        *,
        on_bug: Callable[[BaseException], None] | None = None,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._listen = listen
        self._host, self._port = host.strip("[]"), int(port)
        self._paths = paths
        self.begins: Mapping[str, str] = {}
        self._on_redirect = on_redirect
        self._on_bug = on_bug or _tell_loop
        self._shelter = Shelter(self._on_bug)
        self._logins: dict[str, asyncio.Task[str]] = {}
        self._accepted: set[str] = set()
        self._completing: set[object] = set()  # connections whose login is at the provider
        self._servers: list[asyncio.Server] = []
        self._pages: web.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    async def start(self) -> None:
        """Begin to listen. Raises: ConfigError, where the port cannot be had."""
        loop = asyncio.get_running_loop()
        self._pages = web.Server(self._answer, handler_cancellation=True)
        try:
            sockets = bind_loopback(self._host, self._port)
        except OSError as error:
            raise ConfigError(
                f"[login] listen {self._listen}: {error.strerror}; the redirect cannot be taken here",
                hint="paste it instead: eliot-broker login ACCOUNT --paste",
            ) from None
        self._port = sockets[0].getsockname()[1]
        for listening in sockets:
            server = await loop.create_server(self._connection, sock=listening, backlog=MAX_CONNECTIONS)
            self._servers.append(server)

    async def stop(self) -> None:
        """Stop listening. May be called from within `on_redirect`: a page under way is still shown."""
        if not self._servers or self._pages is None:
            return
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in self._pages.connections:
            if isinstance(connection, QuietConnection) and not connection.busy:
                connection.force_close()
        asyncio.get_running_loop().call_later(LAST_PAGE_SECONDS, self._end, self._pages)

    @staticmethod
    def _end(pages: web.Server) -> None:
        for connection in pages.connections:
            connection.force_close()

    def _connection(self) -> asyncio.Protocol:
        assert self._pages is not None
        if len(self._pages.connections) >= MAX_CONNECTIONS and not self._drop_one(self._pages):
            return _Closed()
        return PageConnection(
            self._pages,
            self._on_bug,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=MAX_TARGET_BYTES,
            lingering_time=0,
        )

    def _drop_one(self, pages: web.Server) -> bool:
        """Close the oldest that asks for nothing, else the oldest that completes no login: the browser gets in."""
        others = [
            connection
            for connection in pages.connections
            if isinstance(connection, QuietConnection)
            and connection.transport is not None  # closed, and gone in the loop's next turn
            and connection not in self._completing
        ]
        oldest = min(others, key=lambda connection: connection.busy, default=None)
        if oldest is not None:
            oldest.force_close()
        return oldest is not None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = self._refusal(request)
        response = refusal or self._begin(request) or await self._login(request)
        if refusal is not None or not self._servers:
            response.force_close()
        return response

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """What no browser that comes from the login would send (a page elsewhere, DNS rebinding, a scanner)."""
        names = ("localhost", "127.0.0.1", "[::1]")
        ours = {f"{name}:{self._port}" for name in names} | (set(names) if self._port == 80 else set())  # noqa: PLR2004
        hosts = request.headers.getall("Host", ())
        if len(hosts) != 1 or hosts[0].lower() not in ours or "Origin" in request.headers:
            return page(403, "Refused", "This address takes the redirect of a login and nothing else.")
        path = request.rel_url.raw_path if request.raw_path.startswith("/") else ""  # not of http://evil.example/path
        begins = path in self.begins
        if not begins and path not in self._paths:
            return page(404, "Nothing here", "This address takes the redirect of a login and nothing else.")
        if request.method != "GET":
            response = page(405, "Refused", "A redirect is a GET request.")
            response.headers["Allow"] = "GET"
            return response
        if not begins and not request.rel_url.raw_query_string:
            return page(400, "No login here", "The address carries no answer to a login.", WHAT_NEXT[Remedy.LOGIN])
        return None

    def _begin(self, request: web.BaseRequest) -> web.Response | None:
        """The way to where a login begins; None: the request is no short address."""
        where = self.begins.get(request.rel_url.raw_path)
        if where is None:
            return None
        response = page(302, "The login", "Your browser is being sent to where you log in.")
        response.headers["Location"] = where
        return response

    async def _login(self, request: web.BaseRequest) -> web.Response:
        url = Secret(f"http://{request.headers['Host']}{request.rel_url.raw_path_qs}")
        if url.digest in self._accepted:
            return page(200, "Already used", "This login was completed before; nothing was changed.")
        login = self._logins.get(url.digest)
        if login is None:
            login = self._logins[url.digest] = self._shelter.start(self._complete(url))
        self._completing.add(request.protocol)
        try:
            account = await asyncio.shield(login)
        except BrokerError as error:
            return page(status_of(error), "The login failed", error.message, error.hint or "", _next_step(error))
        except Exception as bug:  # noqa: BLE001  # told by the callback; the person gets a page
            self._on_bug(bug)
            return page(500, "The login failed", "The broker made a mistake of its own.", WHAT_NEXT[Remedy.NONE])
        finally:
            self._completing.discard(request.protocol)
        return page(200, "Logged in", f"Account {account} is logged in. You may close this page.")

    async def _complete(self, url: Secret) -> str:
        """One redirect, however often the browser sends it; a failed one may be sent again."""
        try:
            account = await self._on_redirect(url)
            self._accepted.add(url.digest)
            return account
        finally:
            del self._logins[url.digest]


class PageConnection(QuietConnection):
    """A connection whose errors are pages, too, with the headers of all pages."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A page in place of the problem."""
        status = super().handle_error(request, status, exc, message).status
        text = "The broker made a mistake of its own." if status >= 500 else "That is no request of a browser."  # noqa: PLR2004
        response = page(status, "Refused", text)
        response.force_close()
        return response


class _Closed(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _next_step(error: BrokerError) -> str:
    """What to do where the error's own hint, which stands above it, does not help."""
    step = WHAT_NEXT[error.remedy]
    return f"Or {step[0].lower()}{step[1:]}" if error.hint and error.remedy is Remedy.LOGIN else step


def page(status: int, title: str, *paragraphs: str) -> web.Response:
    """A plain page; every text is escaped here."""
    text = "".join(f"<p>{escape(each[0].upper() + each[1:])}</p>" for each in paragraphs if each)
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)} - eliot-broker</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{text}</body></html>"
    )
    return web.Response(status=status, body=html.encode("utf-8", "backslashreplace"), headers=HEADERS)


def _tell_loop(bug: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "redirect page", "exception": bug})
