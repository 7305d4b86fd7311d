"""A thousand watchers of one ticket: how soon the last is told of a new one, and what others notice of it.

The watchers connect as many users, for one user may have 192 requests under way. The one invariant: the clock of a
wave starts when the cloud is about to send the end of its answer, so that what is told is never too little. Who reads
is on the client's core, like the cloud and the vends: on the server's it would take the time that it measures.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from broker.sandbox import CloudThread, Options
from tests.benchmarks.footprint import memory
from tests.benchmarks.servers import CLIENT_CORE, Bench, Ours, Server
from tests.e2e.daemon import account, ticket
from tests.e2e.waiting import pause

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox import Cloud

WATCH = b"GET /v1/tickets/%s/watch HTTP/1.1\r\nHost: localhost\r\n\r\n"
FIRST_UID = 20_000
PER_UID = 100
LAST_TOLD_MS = 50.0
QUIET_TIMES = 5.0
WAVES = 3
VENDS, VENDS_A_SECOND = 12_000, 4_000.0  # so many that the first, on connections yet unknown, are not the p99


class Wave(NamedTuple):
    """Seconds from the cloud's answer to the first and the last watcher's line."""

    first: float
    last: float


class Watchers:
    """Connections that watch, each read by one poll."""

    def __init__(self, path: Path, name: str, count: int) -> None:
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        for number in range(count):
            os.seteuid(FIRST_UID + number // PER_UID)  # the kernel notes it at connect
            try:
                watcher = socket.socket(socket.AF_UNIX)
                watcher.connect(os.fspath(path))
            finally:
                os.seteuid(0)
            watcher.sendall(WATCH % name.encode())
            self._open[watcher.fileno()] = watcher
            self._poll.register(watcher, select.EPOLLIN)
        self.hear(count, 60.0)

    def hear(self, count: int, seconds: float = 20.0) -> list[float]:
        """When each of `count` watchers was told a ticket (monotonic seconds)."""
        told: dict[int, float] = {}
        deadline = time.monotonic() + seconds
        while len(told) < count:
            ready = self._poll.poll(max(0.0, deadline - time.monotonic()))
            now = time.monotonic()
            assert ready, f"{len(told)} of {count} watchers were told"
            for number, _ in ready:
                if b'"type": "ticket"' in self._open[number].recv(65536):
                    told.setdefault(number, now)
        return sorted(told.values())

    def close(self) -> None:
        """Hang up."""
        for watcher in self._open.values():
            watcher.close()
        self._poll.close()


def wave(daemon: Ours, cloud: Cloud, watchers: Watchers, name: str, count: int) -> Wave:
    """Have the ticket renewed, and hear of it."""
    before = daemon.client.ticket(name).generation
    renewing = threading.Thread(target=daemon.client.refuse, args=(name, before))
    renewing.start()
    told = watchers.hear(count)
    renewing.join()
    answered = cloud.calls.of("call_in")[-1].answered_seconds
    assert answered is not None
    assert answered < told[0]
    return Wave(told[0] - answered, told[-1] - answered)


class Row(NamedTuple):
    """Medians of the waves with so many watchers; seconds, MB, and the p99 of others' vends in microseconds."""

    watchers: int
    first: float
    last: float
    memory: float
    quiet_p99: float
    busy_p99: float


def measure(folder: Path, counts: tuple[int, ...] = (1, 10, 100, 1000)) -> list[Row]:
    """Waves for each number of watchers, and the vends of others meanwhile."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CORE})
    try:
        return _rows(folder, counts)
    finally:
        os.sched_setaffinity(0, cores)


def _rows(folder: Path, counts: tuple[int, ...]) -> list[Row]:
    directory = folder / "watched"
    directory.mkdir()
    for path in (folder, directory):
        path.chmod(0o755)  # the watchers are other users
    bench = Bench(folder)
    with CloudThread(Options(ticket_seconds=36_000, daily_quota=0)) as cloud:
        doors = "".join(ticket(f"door-{count}") for count in counts)
        with Ours(directory, account(cloud, directory, api="daily_quota = 0") + ticket() + doors) as daemon:
            daemon.socket_path.chmod(0o666)
            daemon.login(cloud)
            for name in ("front-door", *(f"door-{count}" for count in counts)):
                daemon.client.ticket(name, wait=15)
            return [_row(bench, daemon, cloud, count) for count in counts]


def _row(bench: Bench, daemon: Ours, cloud: Cloud, count: int) -> Row:
    assert daemon.process is not None
    server = Server("watched", (daemon.process.pid,), daemon.socket_path)
    watchers = Watchers(daemon.socket_path, f"door-{count}", count)
    quiet = bench.ask(server, connections=4, requests=VENDS, rate=VENDS_A_SECOND).p99
    held = memory(daemon.process.pid)
    busy: list[float] = []
    vends = threading.Thread(
        target=lambda: busy.append(bench.ask(server, connections=4, requests=VENDS, rate=VENDS_A_SECOND).p99)
    )
    vends.start()
    waves = []
    for _ in range(WAVES):
        pause(VENDS / VENDS_A_SECOND / (WAVES + 1))  # within the time of the vends
        waves.append(wave(daemon, cloud, watchers, f"door-{count}", count))
    vends.join()
    watchers.close()
    return Row(count, median(w.first for w in waves), median(w.last for w in waves), held, quiet, busy[0])


def tell(folder: Path) -> list[str]:
    """The figures; the last row has bounds."""
    rows = measure(folder)
    lines = ["| watchers | first told, ms | last told, ms | memory, MB | others' vends: p99 quiet, µs | meanwhile |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: | ---: |")
    lines += [
        f"| {row.watchers:,} | {1e3 * row.first:.0f} | {1e3 * row.last:.0f} | {row.memory:.1f} | {row.quiet_p99:,.0f} "
        f"| {row.busy_p99:,.0f} |"
        for row in rows
    ]
    last = rows[-1]
    told, ratio = 1e3 * last.last, last.busy_p99 / last.quiet_p99
    lines += ["", "| with the most watchers | seen | |", "| --- | ---: | --- |"]
    lines.append(f"| last told ≤ 50 ms after the cloud's answer | {told:.0f} ms | {verdict(told <= LAST_TOLD_MS)} |")
    lines.append(f"| p99 of vends ≤ 5 x quiet | {ratio:.1f} | {verdict(ratio <= QUIET_TIMES)} |")
    return lines


def verdict(holds: bool) -> str:
    """In a word."""
    return "holds" if holds else "MISSED"
