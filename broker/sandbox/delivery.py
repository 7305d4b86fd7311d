"""How any answer of the sandbox's cloud leaves it: through the weather, phase by phase, and into the request log.

Knows no document. The one invariant: each request passes every phase at most once, and none after its connection
was cut.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from broker.sandbox.weather import ConnectionCut, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.sandbox.calls import Call, Endpoint
    from broker.sandbox.state import CloudState

_NO_BODY = {204, 304}


def json_answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer with the character set spelled out, as the real one has it."""
    return web.json_response(document, status=status, headers=headers)


def deliver_with_weather(
    state: CloudState, endpoint: Endpoint, answer: Callable[[web.Request, Call], Awaitable[web.Response]]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler that gives `answer` under the weather of `endpoint`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        call = state.calls.arrive(
            endpoint, at_seconds=state.now(), method=request.method, path=request.path, headers=request.headers
        )
        call.parameters = tuple(sorted(request.query))
        fault = state.script.take(endpoint)
        try:
            return await _answer(state, request, call, fault, answer)
        except ConnectionCut:
            state.calls.end(call, 0)
            _cut(request, politely=fault.reset == "mid_answer")
        except ConnectionError:  # the client went away: there is nobody left to answer
            state.calls.end(call, 0)
        return web.Response()

    return handle


async def _answer(
    state: CloudState,
    request: web.Request,
    call: Call,
    fault: Fault,
    answer: Callable[[web.Request, Call], Awaitable[web.Response]],
) -> web.StreamResponse:
    await state.script.reach("before_reading", call, fault)
    await request.read()
    await state.script.reach("before_commit", call, fault)
    if not fault.status:
        response = await answer(request, call)
    else:
        if fault.commits:
            await answer(request, call)
        kind = "text/html" if _encoded(fault.body).lstrip().startswith(b"<") else "application/json"
        response = web.Response(status=fault.status, body=_encoded(fault.body), content_type=kind, charset="utf-8")
    if state.options.telltale and response.status >= HTTPStatus.BAD_REQUEST:
        response = await _telling(request, response)
    response.headers.update(fault.headers)
    await state.script.reach("after_commit", call, fault)
    return await _send(state, request, call, fault, response)


async def _send(
    state: CloudState, request: web.Request, call: Call, fault: Fault, response: web.Response
) -> web.StreamResponse:
    body = response.body if isinstance(response.body, bytes) else b""
    stream = web.StreamResponse(status=response.status, reason=response.reason, headers=response.headers)
    stream.headers.setdefault("Date", formatdate(state.cloud_seconds, usegmt=True))
    if response.status not in _NO_BODY:
        stream.content_length = len(body)
    await stream.prepare(request)
    half = len(body) // 2
    if half:
        await stream.write(body[:half])
    await state.script.reach("mid_answer", call, fault)
    state.calls.end(call, response.status)
    if body:
        await stream.write(body[half:])
    await stream.write_eof()
    await state.script.reach("after_answer", call, fault)
    return stream


async def _telling(request: web.Request, response: web.Response) -> web.Response:
    """The same error, its text led by the secrets that came with the request."""
    document = json.loads(response.text or "{}")
    names = ("Authorization", "Ocp-Apim-Subscription-Key")
    sent = " ".join([*(request.headers.get(name, "") for name in names), await request.text()]).strip()
    told = {name: f"{sent}: {document[name]}" for name in ("message", "error_description") if name in document}
    return json_answer({**document, **told}, response.status)


def _encoded(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _cut(request: web.Request, *, politely: bool) -> None:
    """End the connection: with a reset, or (so that what was sent still arrives) with a FIN and no TLS goodbye."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None and not politely:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
