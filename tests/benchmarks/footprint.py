"""What the daemon takes while it does nothing: memory beside a process that only imported the same, wake-ups, start.

The one invariant: both processes of a comparison are measured in the same run, by the kernel's own count (smaps).
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from broker.sandbox import CloudThread, Options
from tests.benchmarks.servers import SERVE, WITHOUT_UVLOOP, Ours
from tests.e2e.daemon import ROOT, account, ticket
from tests.e2e.waiting import pause, until

if TYPE_CHECKING:
    from broker.sandbox import Cloud

VERDICT: dict[object, str] = {True: "holds", False: "MISSED"}
QUIET_SECONDS = 5.0
SETTLE_SECONDS = 60.0
IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
TEXT_IS_LET_GO = """\
Once a minute the daemon lets go of program text that start, login and refresh went through (`madvise`); what it needs
again comes back from the page cache. That is how it has less than a process that only imported: what it has of its own
is more, by its own code and data. What the libraries add to 20.9 MB for Python with asyncio and ssl, one after the
other (seen once): aiohttp 15.3 MB, AES-GCM of cryptography 7.1, joserfc 3.0, Authlib 0.5, APScheduler about 3.
""".splitlines()
BARE = """
import importlib, sys
sys.modules["uvloop"] = None
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        pass
print(flush=True)
sys.stdin.read()
"""


class Footprint(NamedTuple):
    """Memory in MB (10^6 bytes), seconds from exec to READY, voluntary wake-ups a minute of all threads.

    `libraries_rss` is that of a process that has imported the same libraries, `imports_rss` our modules too; `own` is
    what of them is memory of the process's own, program text and other files apart.
    """

    rss: float
    own: float
    libraries_own: float
    libraries_rss: float
    imports_rss: float
    ready_seconds: float
    wakeups_a_minute: float


def memory(pid: int, kind: str = "Rss") -> float:
    """The memory of a process in MB, from smaps_rollup (proc(5)): resident, or "Anonymous"."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def wakeups(pid: int) -> int:
    """How often the threads of a process have gone to sleep so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total


class Listed(Ours):
    """Ours, telling what it imports."""

    def start(self) -> Listed:
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-X",
                    "importtime",
                    "-c",
                    WITHOUT_UVLOOP + SERVE,
                    "serve",
                    "--config",
                    str(self.config),
                ],
                env=self.environ,
                stderr=errors,
                cwd=ROOT,
            )
        return self

    @property
    def modules(self) -> list[str]:
        """The modules that it has imported so far, ours too, in order."""
        return IMPORTED.findall(self.log())


def bare_memory(modules: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """The resident and the own memory of a process that has imported these modules and does nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", BARE, *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environ},
    ) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        seen = memory(bare.pid), memory(bare.pid, "Anonymous")
        bare.kill()
    return seen


def configuration(cloud: Cloud, directory: Path) -> str:
    """One account, two tickets; the stand-in cloud is trusted as the real one is, by the system's anchors."""
    text = account(cloud, directory).replace(f'ca_file = "{cloud.ca_file}"\n', "")
    return text + ticket() + ticket("garage")


def trust(cloud: Cloud, directory: Path) -> dict[str, str]:
    """The environment in which the system's anchors and the stand-in cloud's are one file."""
    system: str | None = ssl.get_default_verify_paths().cafile  # typeshed says that there always is one
    bundle = directory / "anchors.pem"
    anchors = Path(system).read_bytes() if system else b""
    bundle.write_bytes(anchors + Path(cloud.ca_file).read_bytes())
    return {"SSL_CERT_FILE": os.fspath(bundle)}


def refreshed(daemon: Ours, cloud: Cloud) -> None:
    """Log in, hold both tickets, refresh once."""
    daemon.login(cloud)
    for name in ("front-door", "garage"):
        daemon.client.ticket(name, wait=15)
    daemon.client.refresh("home")


def settle(pid: int) -> None:
    """Until nothing wakes the process for some seconds: connections are closed, the audit's windows are over."""
    woken: list[int] = []

    def at_rest() -> bool:
        woken.append(wakeups(pid))
        return len(woken) > 1 and woken[-1] == woken[-2]

    until(at_rest, seconds=SETTLE_SECONDS, what="it does not come to rest", every_seconds=QUIET_SECONDS)


def seconds_to_ready(directory: Path, text: str, environ: dict[str, str]) -> float:
    """From exec to READY, told on a notification socket as systemd has it."""
    import socket

    address = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(os.fspath(address))
        notify.settimeout(20)
        daemon = Ours(directory, text)
        daemon.environ.update(environ, NOTIFY_SOCKET=os.fspath(address))
        began = time.monotonic()
        daemon.start()
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            return time.monotonic() - began
        finally:
            daemon.stop()
            address.unlink()


def measure(folder: Path, *, idle_seconds: float = 90.0) -> Footprint:
    """Everything, in one run."""
    with CloudThread(Options(ticket_seconds=3600)) as cloud:
        directory = folder / "idle"
        directory.mkdir()
        environ = trust(cloud, directory)
        text = configuration(cloud, directory)
        modules = _modules(folder / "listed", cloud, environ)
        daemon = Ours(directory, text)
        daemon.environ.update(environ)
        with daemon:
            refreshed(daemon, cloud)
            assert daemon.process is not None
            settle(daemon.process.pid)
            before = wakeups(daemon.process.pid)
            pause(idle_seconds)
            awake = (wakeups(daemon.process.pid) - before) * 60 / idle_seconds
            rss, own = memory(daemon.process.pid), memory(daemon.process.pid, "Anonymous")
        ready = sorted(seconds_to_ready(directory, text, environ) for _ in range(5))[2]
    libraries = [name for name in modules if not name.startswith("broker")]
    libraries_rss, libraries_own = bare_memory(libraries, environ)
    imports_rss, _ = bare_memory(modules, environ)
    return Footprint(rss, own, libraries_own, libraries_rss, imports_rss, ready, awake)


def _modules(directory: Path, cloud: Cloud, environ: dict[str, str]) -> list[str]:
    directory.mkdir()
    daemon = Listed(directory, configuration(cloud, directory))
    daemon.environ.update(environ)
    with daemon:
        refreshed(daemon, cloud)
        return daemon.modules


def tell(folder: Path) -> list[str]:
    """The figures, each with its bound."""
    seen = measure(folder)
    over = seen.rss - seen.libraries_rss
    rows = [
        ("resident memory, idle, one account, two tickets, after the first refresh", f"{seen.rss:.1f} MB", ""),
        ("a process that has imported the same libraries", f"{seen.libraries_rss:.1f} MB", ""),
        ("… and our modules", f"{seen.imports_rss:.1f} MB", ""),
        ("over the libraries ≤ 4 MB", f"{over:.1f} MB", over <= 4.0),
        ("of it memory of its own, program text apart", f"{seen.own:.1f} MB", ""),
        ("the same of the process with the libraries", f"{seen.libraries_own:.1f} MB", ""),
        ("wake-ups a minute, idle ≤ 4", f"{seen.wakeups_a_minute:.0f}", seen.wakeups_a_minute <= 4),
        ("from exec to READY ≤ 0.5 s", f"{seen.ready_seconds:.2f} s", seen.ready_seconds <= 0.5),
    ]
    lines = ["| at rest | seen | |", "| --- | ---: | --- |"]
    lines += [f"| {words} | {value} | {VERDICT.get(held, '')} |" for words, value, held in rows]
    return [*lines, "", *TEXT_IS_LET_GO]
