"""The table of addresses, and the way of a request through it: origin, rate, address, leave, handler, answer.

The one invariant: no handler runs for a peer whose leave was not asked of the policy in force.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from broker.api.audit import Refusal
from broker.api.call import Call, check_length, problem_response, read_body
from broker.api.connection import too_many_requests
from broker.api.parameters import check_origin
from broker.api.problems import BUG, RequestRefused
from broker.core.access import Action
from broker.errors import BrokerError, Code, NotAllowed, ShuttingDown, UnknownTicket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from broker.api import web
    from broker.api.accounts import AccountRoutes
    from broker.api.audit import Audit
    from broker.api.backend import Backend
    from broker.api.connection import Connection, Connections
    from broker.api.general import HttpConnection
    from broker.api.system import SystemRoutes
    from broker.api.tickets import TicketRoutes
    from broker.api.turnstile import Turnstile
    from broker.core.access import AccessPolicy, Peer

    Handler = Callable[[Call], Awaitable[web.StreamResponse]]

REFUSED_FOR_GOOD = frozenset({Code.NOT_ALLOWED, Code.UNKNOWN_TICKET, Code.UNKNOWN_ACCOUNT})


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the contract's table; `template` has at most one `{name}`."""

    method: str
    template: str
    action: Action
    handler: Handler


def table(tickets: TicketRoutes, accounts: AccountRoutes, system: SystemRoutes) -> tuple[Route, ...]:
    """Every route there is."""
    look, vend, administer = Action.LOOK, Action.VEND, Action.ADMINISTER
    return (
        Route("GET", "/v1/tickets/{name}", vend, tickets.vend),
        Route("GET", "/v1/tickets/{name}/watch", vend, tickets.watch),
        Route("POST", "/v1/tickets/{name}/refresh", vend, tickets.renew),
        Route("POST", "/v1/tickets/{name}/probe", administer, tickets.probe),
        Route("GET", "/v1/tickets", look, tickets.list),
        Route("GET", "/v1/accounts", look, accounts.list),
        Route("GET", "/v1/accounts/{name}", look, accounts.show),
        Route("GET", "/v1/accounts/{name}/id-token", Action.READ_ID_TOKEN, accounts.id_token),
        Route("GET", "/v1/accounts/{name}/homes", administer, accounts.homes),
        Route("POST", "/v1/accounts/{name}/login", administer, accounts.begin_login),
        Route("POST", "/v1/accounts/{name}/login/complete", administer, accounts.complete_login),
        Route("POST", "/v1/accounts/{name}/refresh", administer, accounts.refresh),
        Route("POST", "/v1/accounts/{name}/logout", administer, accounts.logout),
        Route("POST", "/v1/reload", administer, system.reload),
        Route("GET", "/v1/status", look, system.status),
        Route("GET", "/healthz", look, system.live),
        Route("GET", "/readyz", look, system.ready),
        Route("GET", "/metrics", look, system.metrics),
        Route("GET", "/openapi.json", look, system.openapi),
    )


class Router:
    """Finds the route of an address."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._methods: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._methods.setdefault(route.template, {})[route.method] = route

    def find(self, method: str, raw_path: str) -> tuple[Route, str]:
        """The route and the name in the path. Raises: RequestRefused (404, 405)."""
        template, name = raw_path, ""
        parts = raw_path.split("/", 4)
        if len(parts) > 3 and parts[1] == "v1" and parts[2] in {"tickets", "accounts"}:  # noqa: PLR2004
            name = unquote(parts[3])
            parts[3] = "{name}"
            template = "/".join(parts)
        methods = self._methods.get(template)
        if methods is None:
            raise RequestRefused("there is nothing at this address", status=404, hint="GET /openapi.json lists all")
        route = methods.get(method)
        if route is None:
            raise _wrong_method(methods)
        return route, name


def _wrong_method(methods: Mapping[str, Route]) -> RequestRefused:
    allowed = ", ".join(sorted(methods))
    return RequestRefused(f"this address takes {allowed} only", status=405, headers={"Allow": allowed})


class Dispatcher:
    """The handler given to the HTTP server: one request in, one response out, whatever happens."""

    def __init__(
        self,
        backend: Backend,
        router: Router,
        *,
        audit: Audit,
        connections: Connections,
        turnstile: Turnstile,
        stopping: asyncio.Future[None],
        on_bug: Callable[[BaseException], None],
    ) -> None:
        self._backend = backend
        self._router = router
        self._audit = audit
        self._connections = connections
        self._turnstile = turnstile
        self._stopping = stopping
        self._on_bug = on_bug
        self._loop = stopping.get_loop()
        self.cutting = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        connection = cast("HttpConnection", request.protocol).connection
        task = asyncio.current_task()
        connection.begin(task)
        try:
            response = await self._answer(request, connection)
        except BrokerError as error:
            too_fast = error.code is Code.RATE_LIMITED and isinstance(error, RequestRefused)
            response = problem_response(error, close=too_fast or not request.content.is_eof())
        except asyncio.CancelledError:
            if not self.cutting or request.transport is None:
                raise  # the client hung up
            if task is not None:
                task.uncancel()
            response = problem_response(ShuttingDown("the broker is stopping; ask the next one"), close=True)
        except ConnectionError:
            raise  # the client hung up while we wrote
        except Exception as bug:  # noqa: BLE001  # told by the callback; the client gets a problem
            self._on_bug(bug)
            response = problem_response(BUG)
        finally:
            connection.end(self._loop.time())
        is_last = (self._stopping.done() or connection.half_closed) and not connection.front.unread
        if is_last or connection.ends:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if connection.requests > 1:  # the first has come through with its connection
            await self._turnstile.enter(connection.identity.uid)
        try:
            self._check(request, connection)
            route, name = self._router.find(request.method, request.rel_url.raw_path)
        except RequestRefused as error:
            self._refused(connection.bare_peer, request, error)
            raise
        policy = self._backend.access()
        peer = connection.identity.known(policy)
        if peer is None:
            peer = await connection.identity.resolve(policy)
            await self._turnstile.enter(peer.uid)  # all who waited for the same name are awake now
        try:
            self._check_leave(policy, route.action, name, peer)
            body = await read_body(request, self._connections.limits) if request.body_exists else b""
            return await route.handler(Call(request, connection, peer, route.action, name, body))
        except BrokerError as error:
            if error.code in REFUSED_FOR_GOOD:
                self._refused(peer, request, error)
            elif isinstance(error, RequestRefused):  # a body too long, or too late
                connection.limited(error)
            raise

    def _check(self, request: web.BaseRequest, connection: Connection) -> None:
        """What is asked of every request before anybody looks at its address."""
        limits = self._connections.limits
        wait = self._connections.shares.take(connection.share, self._loop.time())
        if wait or connection.share.in_flight > limits.requests_in_flight_per_uid:
            raise too_many_requests(wait)
        headers = request.headers
        check_origin(headers.getall("Host", ()), target=request.raw_path, has_origin="Origin" in headers)
        check_length(request.content_length, limits)

    def _check_leave(self, policy: AccessPolicy, action: Action, name: str, peer: Peer) -> None:
        if action is Action.VEND and name not in policy.tickets:
            self._backend.tickets()  # a broker without a configuration says that instead
            raise UnknownTicket("no ticket of that name is configured", hint="see which there are: eliot-broker status")
        if not policy.allows(action, name, peer):
            raise NotAllowed(f"uid {peer.uid} may not do this; nothing was done", hint=_hint(action, name))

    def _refused(self, peer: Peer, request: web.BaseRequest, error: BrokerError) -> None:
        refusal = Refusal(request.method, request.rel_url.raw_path, str(error.code), error.message)
        self._audit.refused(peer, self._loop.time(), refusal)


def _hint(action: Action, name: str) -> str:
    match action:
        case Action.VEND:
            return f"add the user, group or unit to `allow` of [tickets.{name}]"
        case Action.READ_ID_TOKEN:
            return "add the user to `allow_id_token` of the account, or to `admins` of [access]"
        case _:
            return "run it as the broker's own user or as root, or add the user to `admins` of [access]"
