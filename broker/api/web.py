"""The part of aiohttp's server that we use, under the names that `aiohttp.web` gives it.

Knows nothing of ours. The one invariant: what `aiohttp.web` has besides (application, router, runner, websockets,
files) is not imported, for it takes 1.3 MB.
"""

from __future__ import annotations

from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

__all__ = ["BaseRequest", "RequestHandler", "RequestPayloadError", "Response", "Server", "StreamResponse"]
