"""What is measured, started: the floor servers, ours with its cloud, oidc-agent, git credential-cache.

Every server runs on core 0 and every client on core 1. The one invariant: whatever was started is ended by the
`with` block, by its own process id.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from broker.sandbox import CloudThread, Options, credentials, follow_login
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.sandbox import Cloud

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = 0, (os.cpu_count() or 1) - 1
REQUEST = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n\r\n"
GIT_REQUEST = b"action=get\ntimeout=900\nprotocol=https\nhost=door.example\nusername=door\n\n"
ACCESS = 'allow = ["user:nobody", "group:root", "user:root"]'  # names and groups, so that the peer is looked up
WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; "
SERVE = "import sys; from broker.cli.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Load:
    """What a load client saw; latencies in microseconds, `cpu` is the server's microseconds a request."""

    requests: int
    failed: int
    refused: int
    seconds: float
    rate: float
    mean: float
    p50: float
    p99: float
    p999: float
    max: float
    cpu: float = 0.0


@dataclass
class Server:
    """A server that is up: its processes, and how to ask it. `account` is oidc-agent's, which has its own client."""

    name: str
    pids: tuple[int, ...]
    socket: Path
    request: bytes = REQUEST
    framing: str = "http"
    keeps: bool = True
    account: str = ""
    environ: dict[str, str] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """What it has used so far, all threads."""
        return sum(cpu_seconds(pid) for pid in self.pids)


class Bench:
    """The folder with the built programs, and the client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for program, libraries in (("load", ()), ("floor", ()), ("oidc_load", ("-loidc-agent",))):
            build(HERE / f"{program}.c", folder / program, libraries)

    def ask(self, server: Server, *, connections: int, requests: int, keep: bool = True, rate: float = 0.0) -> Load:
        """Load a server."""
        before = server.cpu_seconds()
        if server.account:
            command: list[str | Path] = [self.folder / "oidc_load", server.account, str(connections), str(requests)]
        else:
            request = self.folder / f"{server.name}.request"
            request.write_bytes(server.request)
            how = "keep" if keep else "new"
            command = [self.folder / "load", server.socket, request, server.framing]
            command += [str(connections), str(requests), how, str(rate)]
        command = [*on_core(CLIENT_CORE), *command]
        done = subprocess.run(command, env=server.environ or None, capture_output=True, check=True)
        seen = json.loads(done.stdout)
        load = Load(**seen, cpu=1e6 * (server.cpu_seconds() - before) / max(1, seen["requests"]))
        assert load.failed == 0, (server.name, load)
        return load


def build(source: Path, program: Path, libraries: Sequence[str] = ()) -> bool:
    """Compile a C program; False where a library of a peer is not installed."""
    command: list[str | Path] = ["cc", "-O2", "-o", program, source, *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and not libraries:
        raise RuntimeError(done.stderr)
    return done.returncode == 0


def on_core(core: int) -> list[str | Path]:
    """What stands before a command so that it runs on one core from its first instruction on."""
    return ["taskset", "-c", str(core)]


def cpu_seconds(pid: int) -> float:
    """The processor time of a process, from the scheduler's own count in nanoseconds (proc(5), schedstat)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue  # the thread has just ended
    return total / 1e9


def await_socket(path: Path, seconds: float = 15.0) -> None:
    """Until a server listens on its socket."""

    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(os.fspath(path)) == 0

    until(listens, seconds=seconds, what=str(path))


@contextmanager
def process(command: Sequence[str | Path], environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server process on its core."""
    started = subprocess.Popen([*on_core(SERVER_CORE), *command], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(20)


@contextmanager
def floor(bench: Bench, name: str, kind: str, answer: Path, *loop: str) -> Iterator[Server]:
    """One of the floor servers: `c`, or what floor.py has."""
    path = bench.folder / f"{name}.sock"
    command: list[str | Path] = [sys.executable, "-m", "tests.benchmarks.floor", kind, path, answer, *loop]
    if kind == "c":
        command = [bench.folder / "floor", path]
    with process(command) as running:
        await_socket(path)
        yield Server(name, (running.pid,), path, framing="echo" if kind in {"c", "echo"} else "http")


class Ours(Daemon):
    """`eliot-broker serve` in production configuration, on the server's core, with uvloop or without."""

    def __init__(self, directory: Path, text: str, *, uvloop: bool = False) -> None:
        super().__init__(directory, text, log_level="info")
        self.uvloop = uvloop

    def start(self) -> Ours:
        code = SERVE if self.uvloop else WITHOUT_UVLOOP + SERVE
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*on_core(SERVER_CORE), sys.executable, "-c", code, "serve", "--config", str(self.config)],
                env=self.environ,
                stderr=errors,
                cwd=ROOT,
            )
        return self


@contextmanager
def ours(folder: Path, cloud: Cloud, name: str, *, uvloop: bool = False, tickets: int = 1) -> Iterator[Server]:
    """Our daemon, logged in, with a ticket in hand."""
    directory = folder / name
    directory.mkdir()
    text = account(cloud, directory, api="daily_quota = 0") + ticket(more=ACCESS)
    text += "".join(ticket(f"door-{number}", more=ACCESS) for number in range(1, tickets))
    with Ours(directory, text, uvloop=uvloop) as daemon:
        daemon.login(cloud)
        daemon.client.ticket("front-door", wait=15)
        assert daemon.process is not None
        yield Server(name, (daemon.process.pid,), daemon.socket_path)


@contextmanager
def git_cache(folder: Path) -> Iterator[Server]:
    """`git credential-cache` with one credential of a ticket's size."""
    path = folder / "git" / "socket"
    path.parent.mkdir(mode=0o700)
    program = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-credential-cache--daemon"
    with process([program, path]) as running:
        await_socket(path)
        what = b"protocol=https\nhost=door.example\nusername=door\npassword=" + b"x" * 1000 + b"\n\n"
        command = ["git", "credential-cache", f"--socket={path}", "store"]
        subprocess.run(command, input=what, check=True, timeout=10)
        yield Server("git credential-cache", (running.pid,), path, GIT_REQUEST, "eof", keeps=False)


@contextmanager
def oidc_agent(folder: Path, cloud: Cloud) -> Iterator[Server]:
    """oidc-agent with a loaded account of the stand-in cloud's OpenID provider."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "OIDC_PW": "x"}
    (folder / "home" / ".oidc-agent").mkdir(parents=True)
    started = subprocess.run(
        [*on_core(SERVER_CORE), "oidc-agent"], env=environ, capture_output=True, text=True, check=True
    )
    environ.update(re.findall(r"(OIDC\w+)=([^;]+);", started.stdout))
    try:
        _load_account(environ, cloud)
        worker = int(environ["OIDCD_PID"])
        pids = (worker, *children(worker))
        yield Server("oidc-agent", pids, Path(environ["OIDC_SOCK"]), keeps=False, account="bench", environ=environ)
    finally:
        subprocess.run(["oidc-agent", "-k"], env=environ, capture_output=True, check=False)


def _load_account(environ: dict[str, str], cloud: Cloud) -> None:
    redirect = "http://localhost:4242"
    cloud.options.applications[credentials.OIDC_CONFIDENTIAL_CLIENT_ID].redirect_uris.add(redirect)
    command = [
        "oidc-gen",
        "bench",
        "-m",
        f"--issuer={cloud.oidc_authority}",
        f"--cp={cloud.ca_file}",
        "--pw-env=OIDC_PW",
    ]
    command += [f"--client-id={credentials.OIDC_CONFIDENTIAL_CLIENT_ID}", f"--redirect-uri={redirect}", "--prompt=none"]
    command += [f"--client-secret={credentials.OIDC_CONFIDENTIAL_CLIENT_SECRET}", "--scope=openid offline_access"]
    command += ["--no-url-call", "--flow=code", "--confirm-default"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as login:
        assert login.stdout is not None
        for line in login.stdout:
            if found := re.search(r"https://\S+/authorize\S+", line):
                urllib.request.urlopen(follow_login(found[0], cloud.ca_file), timeout=10).close()
    assert login.returncode == 0, "oidc-gen"


def children(pid: int) -> tuple[int, ...]:
    """The processes that this one started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return tuple(int(child) for child in listed.split())


def has_uvloop() -> bool:
    """Whether the extra is installed."""
    from importlib.util import find_spec

    return find_spec("uvloop") is not None


@contextmanager
def everybody(bench: Bench, *, peers: bool = True) -> Iterator[dict[str, Server]]:
    """All of them at once: those that are idle cost the one that is asked nothing."""
    with ExitStack() as stack:
        options = Options(ticket_seconds=36_000, access_token_seconds=36_000, daily_quota=0)
        cloud = stack.enter_context(CloudThread(options))
        servers = [stack.enter_context(ours(bench.folder, cloud, "ours"))]
        answer = bench.folder / "answer"
        answer.write_bytes(one_answer(servers[0].socket))
        for name, kind in (
            ("C echo", "c"),
            ("asyncio echo", "echo"),
            ("asyncio protocol", "bare"),
            ("aiohttp", "aiohttp"),
        ):
            servers.append(stack.enter_context(floor(bench, name, kind, answer)))
        if has_uvloop():
            servers.append(stack.enter_context(floor(bench, "uvloop protocol", "bare", answer, "uvloop")))
            servers.append(stack.enter_context(ours(bench.folder, cloud, "ours, uvloop", uvloop=True)))
        if peers and shutil.which("oidc-agent") and (bench.folder / "oidc_load").exists():
            servers.append(stack.enter_context(oidc_agent(bench.folder, cloud)))
        if peers and shutil.which("git"):
            servers.append(stack.enter_context(git_cache(bench.folder)))
        yield {server.name: server for server in servers}


def one_answer(path: Path) -> bytes:
    """What ours answers to the request, so that others can answer the same."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(path))
        connection.sendall(REQUEST)
        return connection.recv(65536)
