"""What ours is measured against: the same few bytes over a Unix socket, by less and less of a server.

`python -m tests.benchmarks.floor KIND SOCKET ANSWER_FILE [uvloop]`, where KIND is `echo` (an asyncio protocol that
sends back what it receives), `bare` (one that answers each request with the same bytes) or `aiohttp` (an Application
as it comes, with the same body).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Bare(Echo):
    """Answers whatever ends like a request."""

    answer = b""

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(self.answer)


async def serve(kind: type[Echo], path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(kind, path, backlog=1024)
    await server.serve_forever()


def serve_aiohttp(path: str, body: bytes) -> None:
    from aiohttp import web

    async def vend(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/tickets/{name}", vend)
    web.run_app(app, path=path, print=None, backlog=1024)


def main() -> None:
    kind, path, answer_file, *loop = sys.argv[1:]
    Bare.answer = Path(answer_file).read_bytes()
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if loop == ["uvloop"]:
        import uvloop

        factory = uvloop.new_event_loop
    if kind == "aiohttp":
        serve_aiohttp(path, Bare.answer.partition(b"\r\n\r\n")[2])
        return
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(Bare if kind == "bare" else Echo, path))


if __name__ == "__main__":
    main()
