"""The part of aiohttp's server that we use, under the names that `aiohttp.web` gives it, loaded when it is first used.

Knows nothing of ours. The one invariant: what `aiohttp.web` has besides (application, router, runner, websockets,
files) is not imported, for it takes 1.3 MB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler, RequestPayloadError
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import Response, StreamResponse
    from aiohttp.web_server import Server

__all__ = ["BaseRequest", "RequestHandler", "RequestPayloadError", "Response", "Server", "StreamResponse"]

_HOMES = {
    "BaseRequest": "aiohttp.web_request",
    "RequestHandler": "aiohttp.web_protocol",
    "RequestPayloadError": "aiohttp.web_protocol",
    "Response": "aiohttp.web_response",
    "Server": "aiohttp.web_server",
    "StreamResponse": "aiohttp.web_response",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for the first time (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(name)
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
