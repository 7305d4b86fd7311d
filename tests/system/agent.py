"""What runs inside the lab: the stand-in cloud, the person who logs in, and clients that never stop asking.

agent.py cloud DIRECTORY PORT       the sandbox's cloud, until told to stop (sd_notify when it listens)
agent.py login DIRECTORY [SOCKET]   log in to account `home` over the broker's socket
agent.py kills COUNT                SIGKILL the service COUNT times; JSON: seconds to an answer, and without a core
agent.py load CLIENTS KIND          CLIENTS threads on `new` or `kept` connections until stdin ends; JSON on stdout
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SOCKET = "/run/eliot-broker/broker.sock"
ASK = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLIENT_SECONDS = 20.0
PAUSE_SECONDS = 0.005  # 8 clients stay below the broker's rate for one uid (2000 requests a second)


def main(words: list[str]) -> None:
    """Run one command."""
    match words:
        case ["cloud", directory, port]:
            asyncio.run(cloud(Path(directory), int(port)))
        case ["login", directory, *path]:
            login(Path(directory), *path)
        case ["browse", directory, url]:
            from broker.sandbox import follow_login

            print(follow_login(url, Path(directory) / "ca.pem"))
        case ["usurp"]:
            usurp()
        case ["cling"]:
            cling()
        case ["kills", count]:
            print(json.dumps(kills(int(count))))
        case ["load", clients, kind]:
            load(int(clients), kept=kind == "kept")
        case _:
            sys.exit(__doc__)


async def cloud(directory: Path, port: int) -> None:
    """Serve until SIGTERM."""
    from broker.sandbox import Cloud, Options

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with Cloud(Options(daily_quota=0), directory=directory, port=port):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        await over.wait()


def login(directory: Path, path: str = SOCKET) -> None:
    """Play the person."""
    from broker.client import Client
    from broker.sandbox import follow_login

    client = Client(path)
    begun = client.login("home")
    client.complete_login("home", follow_login(begun["authorization_url"], directory / "ca.pem"))


def cling() -> None:
    """A watcher, one that waits for minutes, one whose head never ends, one that asks nothing."""
    get = "GET /v1/tickets/front-door{} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    asked = {
        "watch": get.format("/watch"),
        "wait": get.format("?wait=300"),
        "half": "GET /healthz HTTP/1.1\r\nHost:",
        "idle": "",
    }
    channels = {}
    for name, text in asked.items():
        channels[name] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channels[name].settimeout(CLIENT_SECONDS)
        channels[name].connect(SOCKET)
        channels[name].sendall(text.encode())
    first = channels["watch"].recv(65536).decode()
    print("ready", flush=True)
    print(json.dumps({name: (first if name == "watch" else "") + rest(channel) for name, channel in channels.items()}))


def usurp() -> None:
    """Take the path away from the broker: a connection is accepted by the kernel and never answered."""
    Path(SOCKET).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(SOCKET)
        Path(SOCKET).chmod(0o666)
        listening.listen(64)
        print("ready", flush=True)
        sys.stdin.read()
    Path(SOCKET).unlink()


def rest(channel: socket.socket) -> str:
    """All that comes until the end."""
    pieces = []
    try:
        while piece := channel.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pieces.append(b"<reset>")
    return b"".join(pieces).decode()


def kills(count: int) -> list[tuple[float, float]]:
    """SIGKILL the service so often; seconds from each kill to the next answer, and what of it the new one had no core.

    The kernel keeps what connects after a kill until the new process accepts it.
    """
    client = Loader(threading.Event(), kept=False)
    spans = []
    pid = running()
    for _ in range(count):
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        while client.ask() != "200":
            pass  # cut together with the old process; what connects next waits for the new one
        took = time.monotonic() - begun
        pid = running()
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        spans.append((took, waited))
    return spans


def running() -> int:
    """Wait until the service is READY; its process."""
    show = ["systemctl", "show", "--value", "-p", "ActiveState", "-p", "MainPID", "eliot-broker.service"]
    while True:
        told = subprocess.run(show, check=True, capture_output=True, text=True).stdout.split()
        if "active" in told:
            return next(int(word) for word in told if word.isdigit())


class Loader(threading.Thread):
    """One client that asks again and again; `answers` are (when it asked, seconds, outcome)."""

    def __init__(self, over: threading.Event, *, kept: bool) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[float, float, str]] = []
        self._over = over
        self._kept = kept
        self._channel: socket.socket | None = None

    def run(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            outcome = self.ask()
            self.answers.append((begun, time.monotonic() - begun, outcome))
            self._over.wait(PAUSE_SECONDS)

    def ask(self) -> str:
        """Ask once; the status, or how it ended without an answer."""
        fresh = self._channel is None
        try:
            if self._channel is None:
                self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._channel.settimeout(CLIENT_SECONDS)
                self._channel.connect(SOCKET)
            self._channel.sendall(ASK)
            response = http.client.HTTPResponse(self._channel)
            response.begin()
            body = response.read()
            json.loads(body)
        except http.client.RemoteDisconnected:
            return self._broken("cut before the answer" if fresh else "closed")
        except (http.client.HTTPException, ValueError) as error:
            return self._broken(f"torn: {type(error).__name__}")
        except OSError as error:  # at a kept connection: closed between two requests
            return self._broken(f"cut: {type(error).__name__}" if fresh else "closed")
        if not self._kept or response.will_close:
            self._hang_up()
        return str(response.status)

    def _broken(self, outcome: str) -> str:
        self._hang_up()
        return outcome

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def load(clients: int, *, kept: bool) -> None:
    """Ask until stdin ends, then tell what came of it."""
    over = threading.Event()
    loaders = [Loader(over, kept=kept) for _ in range(clients)]
    for loader in loaders:
        loader.start()
    sys.stdin.read()
    over.set()
    for loader in loaders:
        loader.join()
    print(json.dumps(summary([answer for loader in loaders for answer in loader.answers])))


def summary(answers: list[tuple[float, float, str]]) -> dict[str, Any]:
    """How many of each outcome, the longest answer, and the longest times without any good one."""
    outcomes: dict[str, int] = {}
    good = sorted(begun + took for begun, took, outcome in answers if outcome == "200")
    for _, _, outcome in answers:
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(good)]
    return {
        "asked": len(answers),
        "outcomes": outcomes,
        "slowest_seconds": max((took for _, took, _ in answers), default=0),
        "gaps_seconds": sorted(gaps, reverse=True)[:20],
    }


if __name__ == "__main__":
    main(sys.argv[1:])
