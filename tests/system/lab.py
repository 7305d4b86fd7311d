"""Lab: a real systemd in throw-away namespaces (`sdlab`), with the broker installed in it as an owner would.

Knows sdlab and systemctl, nothing of the broker's inside. The one invariant: whatever a test does in it, nothing
stays on this machine after `stop`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.operate.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
SDLAB = HERE / "sdlab"
AGENT = "/opt/eliot-broker/current/bin/python /srv/lab/agent.py"
SOCKET = "/run/eliot-broker/broker.sock"
SERVICE = "eliot-broker.service"
COMMAND_SECONDS = 480  # a hundred restarts on a busy machine
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of a login, not of who runs the tests
PATIENCE_SECONDS = 60.0  # for what comes within a few seconds; longer than any machine needs
ROOT = Path(os.environ.get("ELIOT_LAB_ROOT", "/"))  # another system's files, for its systemd: `make system-257`


class LabError(AssertionError):
    """A command in the lab failed; the message is all that it said."""


@dataclass
class Lab:
    """One booted systemd, under a name of this process's own; `environment` are variables of every command in it."""

    name: str
    binds: tuple[str, ...] = ()
    host_net: bool = False
    ttl_seconds: int = 3600
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = f"{self.name}-{os.getpid()}"

    def start(self) -> None:
        """Boot it. Raises: LabError."""
        words: list[str | Path] = [SDLAB, "start", "-n", self.name, "-r", ROOT]
        words += ["--host-net"] if self.host_net else []
        words += [word for bind in self.binds for word in ("-b", bind)]
        _run([*words, "--ttl", str(self.ttl_seconds)], env=self._variables())

    def stop(self) -> None:
        """Shut it down and remove every trace."""
        subprocess.run([SDLAB, "stop", "-n", self.name], check=False, capture_output=True)

    def sh(self, script: str, *, user: str | None = None, status: int | None = 0, stdin: str = "") -> str:
        """Run a shell script inside; its stdout. Raises: LabError where it ends with another status than `status`."""
        return _run(self._words(script, user), env=self._variables(), status=status, stdin=stdin)

    def popen(self, script: str, *, user: str | None = None) -> subprocess.Popen[str]:
        """Start a shell script inside and go on; stdin and stdout are pipes."""
        return subprocess.Popen(
            self._words(script, user),
            cwd="/",
            env=self._variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def screen(self, script: str) -> Screen:
        """Start a shell script inside at a terminal of its own."""
        return Screen(self._words(script, None), environ=self._variables(), cwd=Path("/"))

    def _variables(self) -> dict[str, str]:
        return os.environ | {"PATH": PATH} | self.environment

    def _words(self, script: str, user: str | None) -> list[str | Path]:
        as_user = ["-u", user] if user else []
        return [SDLAB, "exec", "-n", self.name, *as_user, "--", "bash", "-euc", script]

    def write(self, path: str, text: str, *, mode: str = "0644") -> None:
        """Write a file inside."""
        self.sh(f"mkdir -p {Path(path).parent}; cat > {path}; chmod {mode} {path}", stdin=text)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.sh(f"systemctl show {unit} -p {','.join(properties)}")
        return dict(line.partition("=")[::2] for line in told.splitlines() if "=" in line)

    def journal(self, unit: str = SERVICE, *, cursor: str | None = None) -> str:
        """What the unit said, and what systemd said about it."""
        self.sh("journalctl --sync")
        after = f"--after-cursor={cursor!r}" if cursor else ""
        return self.sh(f"journalctl -q --no-pager -o cat {after} -u {unit} || true")

    def cursor(self) -> str:
        """The journal's end, for `journal(cursor=)`."""
        self.sh("journalctl --sync")
        return self.sh("journalctl -q -n0 --show-cursor").partition("-- cursor: ")[2].strip()

    def get(self, path: str, *, user: str | None = None, seconds: int = 10) -> tuple[int, Any]:
        """GET over the broker's socket with curl: status and document; (0, None) where there is no answer."""
        told = self.sh(
            f"curl -s -m {seconds} --unix-socket {SOCKET} -w '\\n%{{http_code}}' http://localhost{path} || true",
            user=user,
        )
        body, _, code = told.rpartition("\n")
        return int(code or 0), json.loads(body) if body.startswith("{") else body or None

    def await_status(self, path: str, status: int, seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask until the answer has this status; the document. Raises: LabError."""
        deadline = time.monotonic() + seconds
        while True:
            code, document = self.get(path)
            if code == status:
                return document
            if time.monotonic() > deadline:
                raise LabError(f"{path}: {code} {document}\n{self.journal()}")

    def await_property(self, unit: str, name: str, value: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Look until a unit's property has this value. Raises: LabError."""
        deadline = time.monotonic() + seconds
        while (found := self.show(unit, name)[name]) != value:
            if time.monotonic() > deadline:
                raise LabError(f"{unit}: {name} is {found}, not {value}\n{self.journal(unit)}")

    def await_status_text(self, begin: str, unit: str = SERVICE) -> None:
        """Look until a unit's status begins so; systemd reads it when it comes round to it. Raises: LabError."""
        self._await(lambda: self.show(unit, "StatusText")["StatusText"].startswith(begin), begin, PATIENCE_SECONDS)

    def await_restarts(self, unit: str, count: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Look until systemd has started a unit again so often. Raises: LabError."""
        self._await(lambda: int(self.show(unit, "NRestarts")["NRestarts"]) >= count, f"{count} restarts", seconds)

    def await_journal(self, words: str, cursor: str, *, unit: str = SERVICE, seconds: float = PATIENCE_SECONDS) -> None:
        """Look until a unit has said this. Raises: LabError."""
        self._await(lambda: words in self.journal(unit, cursor=cursor), words, seconds)

    def await_file(self, path: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Look until there is something in a file; its text. Raises: LabError."""
        self._await(lambda: self.sh(f"cat {path} 2>/dev/null || true") != "", path, seconds)
        return self.sh(f"cat {path}")

    def _await(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise LabError(f"never seen: {what}\n{self.journal()}")

    def agent(self, words: str, *, user: str | None = None) -> str:
        """Run one command of agent.py inside."""
        return self.sh(f"{AGENT} {words}", user=user)


def _run(words: list[str | Path], *, env: dict[str, str], status: int | None = 0, stdin: str = "") -> str:
    ended = subprocess.run(
        words, cwd="/", env=env, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if status is not None and ended.returncode != status:
        raise LabError(f"{words[-1]}\nended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout
