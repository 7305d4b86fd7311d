"""A real daemon with many tickets of many accounts: start, rest, one rotation of all tickets, memory.

The cloud is in the daemon's process (near_cloud.py), with latency; disk, socket and log are real.
`python -m tests.benchmarks.many [TICKETS...]`. The one invariant: processor time is the kernel's count, the main
thread's, whoever's code it runs (our own is counted alone in virtual time: scale.py), and the others' for the saves.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.client import Problem, Unreachable
from tests.benchmarks.footprint import VERDICT, memory
from tests.e2e.daemon import ROOT, Daemon
from tests.e2e.waiting import pause

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKETS = (1, 10, 100, 1_000, 10_000)
TICKETS_AN_ACCOUNT = 100
LIFE_SECONDS = 45
REST_SECONDS = 8.0
LOAD_SECONDS = 120.0
HELD_MS = 5.0
JWT_BYTES = 428
TICKET_BYTES = 2048 + 2 * JWT_BYTES
WHAT_IS_REAL = """\
A real daemon (cloud with latency in its process; store, log and socket real), one rotation of all tickets. The main
thread's processor time, whoever's code: ours, asyncio, the log's writes, the stand-in cloud.
""".splitlines()


@dataclass(frozen=True, slots=True)
class Seen:
    """With so many tickets: seconds to the first answer after a restart, processor seconds, the loop held, memory."""

    tickets: int
    accounts: int
    start_seconds: float
    rest_share: float
    renewals: int
    own_seconds: float
    save_seconds: float
    held_seconds: float
    computing_seconds: float
    rss: float

    @property
    def own_microseconds(self) -> float:
        """Of the main thread, a renewal."""
        return 1e6 * self.own_seconds / self.renewals


class Many(Daemon):
    """The daemon with its cloud inside."""

    def __init__(self, directory: Path, tickets: int, life_seconds: int) -> None:
        self.life_seconds = life_seconds
        self.accounts = [f"account-{number:03}" for number in range(-(-tickets // TICKETS_AN_ACCOUNT))]
        (directory / "key").touch(mode=0o600)
        (directory / "key").write_text("key")
        self.held_seconds = self.computing_seconds = 0.0
        super().__init__(directory, _text(directory, self.accounts, tickets), log_level="info")

    def start(self) -> Many:
        command = [sys.executable, "-m", "tests.benchmarks.near_cloud", str(self.config), str(self.life_seconds)]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(command, env=self.environ, stderr=errors, stdout=subprocess.PIPE, cwd=ROOT)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        try:
            return super().stop(number)
        finally:
            self.process.stdout.close()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            self.client.account(self.accounts[0])
        except Unreachable:
            return False
        except Problem:
            return True
        return True

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def tell(self) -> dict[str, Any]:
        """Its own figures by now."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        line = self.process.stdout.readline()
        assert line, self.log()
        seen = dict(json.loads(line))
        self.held_seconds = max(self.held_seconds, seen["longest_seconds"])
        self.computing_seconds = max(self.computing_seconds, seen["computing_seconds"])
        return seen

    def called(self, calls: int, seconds: float) -> None:
        """Wait until the cloud has been asked so often."""
        deadline = time.monotonic() + seconds
        while (seen := self.tell()["calls"]) < calls:
            assert time.monotonic() < deadline, f"{seen} calls of {calls}"
            pause(0.25)

    def processor(self) -> tuple[float, float]:
        """Seconds used so far by the main thread, and by all others."""
        used = {task.name: _used(task) for task in Path(f"/proc/{self.pid}/task").iterdir()}
        own = used.pop(str(self.pid))
        return own, sum(used.values())


def _used(task: Path) -> float:
    return int((task / "schedstat").read_text().split()[0]) / 1e9


def _text(directory: Path, accounts: list[str], tickets: int) -> str:
    parts = [ACCOUNT.format(name=name, directory=directory) for name in accounts]
    parts += [TICKET.format(number=number, account=accounts[number // TICKETS_AN_ACCOUNT]) for number in range(tickets)]
    return "".join(parts)


ACCOUNT = """
[accounts.{name}]
provider = "partner"
authority = "https://cloud.test"
client_id = "app"
client_secret = "file:{directory}/key"
[accounts.{name}.api]
base_url = "https://cloud.test"
subscription_key = "file:{directory}/key"
daily_quota = 0
quota_reserve = 0
"""
TICKET = """
[tickets.door-{number:05}]
account = "{account}"
plant_id = "7e7b1b62-0000-4000-8000-000000000001"
device_id = "2a1c90e4-0000-4000-8000-{number:012}"
"""


@contextmanager
def logged_in(directory: Path, tickets: int, life_seconds: int = LIFE_SECONDS) -> Iterator[Many]:
    """A daemon that was logged in to every account and has been restarted: its start is measured by the caller."""
    daemon = Many(directory, tickets, life_seconds)
    with daemon:
        for name in daemon.accounts:
            begun = daemon.client.login(name)
            daemon.client.complete_login(name, begun["redirect_uri"] + "?code=good&state=s")
        daemon.called(tickets, LOAD_SECONDS)
    try:
        yield daemon
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.stop()


def measure(
    directory: Path, tickets: int, *, life_seconds: int = LIFE_SECONDS, rest_seconds: float = REST_SECONDS
) -> Seen:
    """Start, rest, one rotation."""
    directory.mkdir()
    with logged_in(directory, tickets, life_seconds) as daemon:
        began = time.monotonic()
        daemon.start().wait_up()
        start = time.monotonic() - began
        pause(rest_seconds / 2)  # what the start leaves to be done
        calls, before = daemon.tell()["calls"], daemon.processor()
        pause(rest_seconds)
        rest = sum(daemon.processor()) - sum(before)
        assert rest_seconds == 0 or daemon.tell()["calls"] == calls, "nothing was to be renewed yet"
        before, daemon.held_seconds, daemon.computing_seconds = daemon.processor(), 0.0, 0.0
        daemon.called(calls + tickets, LOAD_SECONDS)
        pause(1.0)  # the last answers
        renewals = daemon.tell()["calls"] - calls
        own, saves = (after - earlier for earlier, after in zip(before, daemon.processor(), strict=True))
        return Seen(
            tickets, len(daemon.accounts), start, rest / max(rest_seconds, 1.0), renewals, own, saves,
            daemon.held_seconds, daemon.computing_seconds, memory(daemon.pid),
        )  # fmt: skip


def tell(folder: Path) -> list[str]:
    """The table of `make bench`."""
    return [*WHAT_IS_REAL, "", *table([measure(folder / str(count), count) for count in TICKETS])]


def table(rows: list[Seen]) -> list[str]:
    """The figures; the last row has a bound."""
    lines = [
        (
            "| tickets | accounts | restart, s | processor at rest, % | main thread a renewal, µs | saves, µs "
            "| loop held at most, ms | of it computing | memory, MB | a ticket more, B |"
        ),
        "| ---: |" + " ---: |" * 9,
    ]
    for row in rows:
        more = "" if row is rows[0] else f"{_bytes_a_ticket(rows[0], row):,.0f}"
        lines.append(
            f"| {row.tickets:,} | {row.accounts} | {row.start_seconds:.2f} | {100 * row.rest_share:.2f} "
            f"| {row.own_microseconds:.0f} | {1e6 * row.save_seconds / row.renewals:.0f} "
            f"| {1e3 * row.held_seconds:.1f} | {1e3 * row.computing_seconds:.1f} | {row.rss:.1f} | {more} |"
        )
    last = rows[-1]
    held, computing = 1e3 * last.held_seconds, 1e3 * last.computing_seconds
    bounds = [
        ("loop held ≤ 5 ms", f"{held:.1f} ms", held <= HELD_MS),
        ("… computing, waits for a core or the interpreter apart", f"{computing:.1f} ms", computing <= HELD_MS),
    ]
    if last is not rows[0]:
        each = _bytes_a_ticket(rows[0], last)
        words = f"a further ticket ≤ 2 kB and twice its JWT ({TICKET_BYTES:,} B)"
        bounds.append((words, f"{each:,.0f} B", each <= TICKET_BYTES))
    lines += ["", f"| with {last.tickets:,} tickets | seen | |", "| --- | ---: | --- |"]
    return lines + [f"| {words} | {value} | {VERDICT[held]} |" for words, value, held in bounds]


def _bytes_a_ticket(few: Seen, many: Seen) -> float:
    return 1e6 * (many.rss - few.rss) / (many.tickets - few.tickets)


def main() -> None:
    """Print the table."""
    counts = [int(word) for word in sys.argv[1:]] or TICKETS
    with tempfile.TemporaryDirectory(prefix="many-") as name:
        rows = [measure(Path(name) / str(count), count) for count in counts]
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
