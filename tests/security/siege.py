"""A siege: a real daemon with a ticket, a well-behaved client, and a thousand hostile connections around them.

Used by a benchmark (the figures) and by a test. The one invariant: quiet and siege are measured by the same client, in
the same run, against the same process; and nothing but the crowd comes between.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.waiting import pause, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CROWD = Path(__file__).with_name("crowd.py")
HOSTILE_UIDS = (61001, 61002, 61003, 61004, 61005)
ASK = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n\r\n"


CPUS = sorted(os.sched_getaffinity(0))
PACE_SECONDS = 0.001
REST_SECONDS = 3.0  # in which the broker sees that the crowd has gone


class Client:
    """A well-behaved client: one request after the other; `kept` on one connection. `http`: it must be 200 OK."""

    def __init__(self, path: Path, *, kept: bool, http: bool = True) -> None:
        self._path = path
        self._kept = kept
        self._start = b"HTTP/1.1 200 " if http else b""
        self._channel: socket.socket | None = None

    def ask(self) -> float:
        """One ticket; the seconds it took. Raises: AssertionError where it is anything else."""
        begun = time.perf_counter()
        if self._channel is None:
            self._channel = socket.socket(socket.AF_UNIX)
            self._channel.settimeout(20)
            self._channel.connect(os.fspath(self._path))
        self._channel.sendall(ASK)
        answer = self._channel.recv(65_536)
        assert answer, "it was closed"
        assert answer.startswith(self._start), answer[:200]
        if not self._kept:
            self.close()
        return time.perf_counter() - begun

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def ask_in_turn(clients: dict[str, Client], seconds: float) -> dict[str, list[float]]:
    """The seconds of each request of each client, sorted; they take turns, so that all meet the same."""
    taken: dict[str, list[float]] = {kind: [] for kind in clients}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for kind, client in clients.items():
            taken[kind].append(client.ask())
            pause(PACE_SECONDS)
    for client in clients.values():
        client.close()
    return {kind: sorted(each) for kind, each in taken.items()}


@contextmanager
def apart(*pids: int) -> Iterator[None]:
    """These and this process on the first processors; the crowd has the last one."""
    if len(CPUS) > 1:
        for each in (os.getpid(), *pids):
            os.sched_setaffinity(each, CPUS[:-1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, CPUS)


@contextmanager
def undisturbed(broker: int, floor: int) -> Iterator[None]:
    """Client and floor never wait for a processor (sched(7)): no wait of their own is taken for the broker's.

    The broker is an ordinary process, though favoured before what else this machine does. As root only.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, broker, -20)
        Path(f"/proc/{broker}/autogroup").write_text("-20")  # without which nice(2) counts within a session only
    with suppress(PermissionError):
        for each in (0, floor):
            os.sched_setscheduler(each, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            Path(f"/proc/{broker}/autogroup").write_text("0")


def share(taken: list[float], part: float) -> float:
    """The value that `part` of all do not exceed."""
    return taken[min(len(taken) - 1, int(len(taken) * part))]


@dataclass
class Footprint:
    """What a process has: memory in bytes, `own` without files that others may share, and open descriptors."""

    rss: int
    own: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        resident, shared = (int(pages) for pages in Path(f"/proc/{pid}/statm").read_text().split()[1:3])
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        return cls(resident * page_bytes, (resident - shared) * page_bytes, descriptors)


@dataclass
class Crowd:
    """Hostile processes: five of users of their own where we are root, else one of ours."""

    path: Path
    count: int
    parts: Sequence[str] = ()
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        from tests.security.test_process import python_for_anybody

        uids: list[int | None] = list(HOSTILE_UIDS) if os.getuid() == 0 else [None]
        for uid in uids:
            who: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
            process: subprocess.Popen[str] = subprocess.Popen(
                [
                    python_for_anybody(),
                    "-c",
                    CROWD.read_text(),
                    str(self.path),
                    str(self.count // len(uids)),
                    *self.parts,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd="/",
                **who,
            )
            self.processes.append(process)
        for process in self.processes:
            if len(CPUS) > 1:
                os.sched_setaffinity(process.pid, CPUS[-1:])
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            try:
                told = process.communicate("", timeout=60)[0]
                self.told.append(json.loads(told.splitlines()[-1]) if told else {})
            finally:
                process.kill()

    def did(self) -> dict[str, int]:
        """What all of them did, summed."""
        total: dict[str, int] = {}
        for each in self.told:
            for name, number in each.items():
                total[name] = total.get(name, 0) + number
        return total


@dataclass
class Report:
    """One siege in figures."""

    quiet: dict[str, list[float]]
    besieged: dict[str, list[float]]
    before: Footprint
    during: Footprint
    after: Footprint
    crowd: dict[str, int]

    def ratio(self, kind: str, part: float = 0.99) -> float:
        """How much longer it takes in the siege."""
        return share(self.besieged[kind], part) / share(self.quiet[kind], part)

    def lines(self) -> Iterator[str]:
        """For people."""
        for kind in self.quiet:
            quiet, besieged = self.quiet[kind], self.besieged[kind]
            yield (
                f"{kind}: p50 {share(quiet, 0.5) * 1e3:.2f} -> {share(besieged, 0.5) * 1e3:.2f} ms, "
                f"p99 {share(quiet, 0.99) * 1e3:.2f} -> {share(besieged, 0.99) * 1e3:.2f} ms "
                f"({self.ratio(kind):.2f} times; {len(quiet)} and {len(besieged)} requests)"
            )
        for name, seen in (("before", self.before), ("during", self.during), ("after", self.after)):
            yield (
                f"{name}: {seen.rss / 2**20:.1f} MiB, {seen.own / 2**20:.1f} of it its own, "
                f"{seen.descriptors} descriptors"
            )
        yield f"the crowd: {self.crowd}"


def besiege(
    path: Path,
    pid: int,
    *,
    count: int = 1000,
    seconds: float = 5.0,
    parts: Sequence[str] = (),
    floor: tuple[Path, int] | None = None,
) -> Report:
    """Measure quiet, then the siege, then what is left of it.

    `parts`: what the crowd plays, none: all. `floor`: another server's socket and pid, which nobody besieges: what
    becomes of it is the measuring's own doing; with it, nothing else that this machine does comes between.
    """
    clients = {"kept connection": Client(path, kept=True), "new connection": Client(path, kept=False)}
    if floor is not None:
        clients["kept, floor"] = Client(floor[0], kept=True, http=False)
        clients["new, floor"] = Client(floor[0], kept=False, http=False)
    with ExitStack() as stack:
        stack.enter_context(apart(pid, *(() if floor is None else floor[1:])))
        if floor is not None:
            stack.enter_context(undisturbed(pid, floor[1]))
        ask_in_turn(clients, 1.0)
        quiet = ask_in_turn(clients, seconds)
        before = Footprint.of(pid)
        with Crowd(path, count, parts) as crowd:
            besieged = ask_in_turn(clients, seconds)
            during = Footprint.of(pid)
    until(lambda: Footprint.of(pid).descriptors <= before.descriptors, seconds=60, what="descriptors are left")
    pause(REST_SECONDS)
    return Report(quiet, besieged, before, during, Footprint.of(pid), crowd.did())
