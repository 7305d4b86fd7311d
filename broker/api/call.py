"""One request on its way: who asks, for what name, over which connection; and the forms its answers take.

The one invariant: every answer made here is `Cache-Control: no-store`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.api import web
from broker.api.problems import RequestRefused, render
from broker.api.representation import SERVER_NAME, encode, success_headers
from broker.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.api.connection import Connection
    from broker.api.limits import Limits
    from broker.core.access import Action, Peer
    from broker.errors import BrokerError

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed the gate; `name` is the ticket's or account's, "" where the address has none."""

    request: web.BaseRequest
    connection: Connection
    peer: Peer
    action: Action
    name: str
    body: bytes = field(default=b"", repr=False)

    @property
    def query(self) -> str:
        """The query as it came, percent-encoded."""
        return self.request.rel_url.raw_query_string

    def header(self, name: str) -> str | None:
        """The values of a header as one list (RFC 9110 section 5.3); None: not there."""
        values = self.request.headers.getall(name, None)
        return None if values is None else ", ".join(values)

    def json_body(self) -> Mapping[str, Any]:
        """The body as a JSON object. Raises: BadRequest."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest("the body is not JSON") from None
        if not isinstance(document, dict):
            raise BadRequest("the body must be a JSON object")
        return document


async def read_body(request: web.BaseRequest, limits: Limits) -> bytes:
    """The whole body, within its size and time. Raises: BadRequest, RequestRefused (400)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            while chunk := await request.content.readany():
                body += chunk
                check_length(len(body), limits)
    except TimeoutError:
        text = f"the body did not arrive within {limits.body_seconds:g} s; the connection is closed"
        raise RequestRefused(text, status=400) from None
    except web.RequestPayloadError:
        raise BadRequest("the body is malformed") from None
    return bytes(body)


def check_length(length: int | None, limits: Limits) -> None:
    """Refuse a body that is too long, announced or arrived. Raises: RequestRefused (400)."""
    if length is not None and length > limits.body_bytes:
        text = f"the body is longer than {limits.body_bytes} bytes; the connection is closed"
        raise RequestRefused(text, status=400)


def answer(
    body: bytes, *, status: int = 200, content_type: str = JSON_TYPE, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A response that nobody may keep."""
    fields = success_headers(content_type)
    if headers is not None:
        fields.update(headers)
    return web.Response(status=status, body=body, headers=fields)


def json_answer(document: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """A document that carries no secret."""
    return answer(encode(document), status=status)


def problem_response(error: BrokerError, *, close: bool = False) -> web.Response:
    """The problem of a failure as a response."""
    status, headers, body = render(error)
    headers["Server"] = SERVER_NAME
    response = web.Response(status=status, headers=headers, body=body)
    if close:
        response.force_close()
    return response
