"""A crowd of hostile clients as a process of its own: `python crowd.py SOCKET COUNT [PART …]`, until its stdin ends.

Standard library only, so that any user's Python can run it. Each connection plays one part (of those named, else of
all) for ever, and comes back as soon as it is thrown out. It prints `ready` when all have tried once, and at the end
what it did, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEAD = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/accounts/home/login/complete HTTP/1.1\r\nHost: localhost\r\n"
HUGE = HEAD + b"X-Filler: " + b"x" * 65_536
MANY = HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(2000)) + b"\r\n"
ENDLESS = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FLOOD = (HEAD + b"\r\n") * 200
COME_BACK_SECONDS = 0.5
LIFE_SECONDS = 60

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
done: Counter[str] = Counter()
never = asyncio.Event()


async def pause(seconds: float) -> None:
    """Let time pass."""
    try:
        await asyncio.wait_for(never.wait(), seconds)
    except TimeoutError:
        return


async def until_thrown_out(streams: Streams) -> None:
    while await streams[0].read(65_536):
        pass


async def idle(streams: Streams) -> None:
    await until_thrown_out(streams)


async def drip(streams: Streams) -> None:
    for byte in HEAD * 1000:
        streams[1].write(bytes([byte]))
        await streams[1].drain()
        await pause(1.0)


async def half_a_head(streams: Streams) -> None:
    streams[1].write(HEAD)
    await until_thrown_out(streams)


async def huge_header(streams: Streams) -> None:
    streams[1].write(HUGE)
    await until_thrown_out(streams)


async def many_headers(streams: Streams) -> None:
    streams[1].write(MANY)
    await until_thrown_out(streams)


async def endless_body(streams: Streams) -> None:
    streams[1].write(ENDLESS)
    while not streams[1].is_closing():
        streams[1].write(b"400\r\n" + b"a" * 1024 + b"\r\n")
        await streams[1].drain()
        await pause(0.01)


async def flood(streams: Streams) -> None:
    """Pipelines and reads, for as long as it is let."""
    async with asyncio.TaskGroup() as group:
        group.create_task(until_thrown_out(streams))
        while not streams[1].is_closing():
            streams[1].write(FLOOD)
            await streams[1].drain()
            done["pipelined"] += 200


async def deaf_flood(streams: Streams) -> None:
    """Pipelines and reads nothing."""
    streams[1].transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(20):
        streams[1].write(FLOOD)
        await streams[1].drain()
    await pause(5)


async def reset(streams: Streams) -> None:
    given = streams[1].get_extra_info("socket")
    given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    streams[1].write(HEAD + b"\r\n")
    streams[1].transport.abort()


PARTS: tuple[Callable[[Streams], Awaitable[None]], ...] = (
    idle, drip, half_a_head, huge_header, many_headers, endless_body, flood, deaf_flood, reset, idle,
)  # fmt: skip


async def play(path: str, part: Callable[[Streams], Awaitable[None]], tried: asyncio.Semaphore) -> None:
    """One hostile client."""
    first = True
    while True:
        try:
            streams = await asyncio.open_unix_connection(path)
            if first:
                tried.release()
                first = False
            done[part.__name__] += 1
            try:
                await part(streams)
            finally:
                streams[1].transport.abort()
        except (OSError, ExceptionGroup):
            done["thrown out"] += 1
        if first:
            tried.release()
            first = False
        await pause(COME_BACK_SECONDS)


async def main(path: str, count: int, names: list[str]) -> None:
    parts = [part for part in PARTS if part.__name__ in names] or PARTS
    signal.alarm(LIFE_SECONDS)  # it must not outlive a test that was killed
    os.nice(19)  # it is the daemon that must be fair, not the kernel's scheduler
    tried = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    _tasks = [loop.create_task(play(path, parts[number % len(parts)], tried)) for number in range(count)]
    for _ in range(count):
        await tried.acquire()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(done), flush=True)
    os._exit(0)  # whatever its parts are doing


if __name__ == "__main__":
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  # asyncio's complaints about broken pipes
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
