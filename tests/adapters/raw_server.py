"""A server that answers every connection with prepared bytes and then does what it is told: close, or hang."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


class RawServer:
    """What came in, and what goes out."""

    def __init__(self, answer: bytes, *, hang: bool = False, polite: bool = True) -> None:
        self.polite = polite
        self.answer = answer
        self.hang = hang
        self.requests: list[bytes] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            if self.polite:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.hang:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def raw_server(
    answer: bytes = b"", *, hang: bool = False, polite: bool = True, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Serve on a free port of 127.0.0.1; not polite: answers before it was asked."""
    server = RawServer(answer, hang=hang, polite=polite)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        server.drop()
        await listening.wait_closed()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP/1.1 answer that ends with its connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
