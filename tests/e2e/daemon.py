"""A real daemon in a process of its own, on the stand-in cloud: what the tests from outside stand on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from broker.client import Client, Problem, Unreachable
from broker.sandbox import credentials, follow_login
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from types import TracebackType

    from broker.sandbox import Cloud

START_SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[2]


def account(cloud: Cloud, directory: Path, name: str = "home", *, provider: str = "partner", api: str = "") -> str:
    """The TOML of one account on the stand-in cloud; its secrets are files beside the configuration."""
    secret_file(directory, "client-secret", credentials.PARTNER_CLIENT_SECRET)
    secret_file(directory, "subscription-key", credentials.SUBSCRIPTION_KEY)
    authority, client = {
        "partner": (cloud.partner_authority, credentials.PARTNER_CLIENT_ID),
        "b2c": (cloud.b2c_authority(), credentials.B2C_PUBLIC_CLIENT_ID),
        "oidc": (cloud.oidc_authority, credentials.OIDC_PUBLIC_CLIENT_ID),
    }[provider]
    secret = f'client_secret = "file:{directory}/client-secret"' if provider == "partner" else ""
    return f"""
[accounts.{name}]
provider = "{provider}"
authority = "{authority}"
client_id = "{client}"
{secret}
redirect_uri = "{credentials.REDIRECT_URI}"
ca_file = "{cloud.ca_file}"
[accounts.{name}.api]
base_url = "{cloud.api_base_url}"
subscription_key = "file:{directory}/subscription-key"
{api}
"""


def ticket(name: str = "front-door", *, of: str = "home", more: str = "") -> str:
    """The TOML of one ticket."""
    return f"""
[tickets.{name}]
account = "{of}"
plant_id = "{credentials.PLANT_ID}"
device_id = "{credentials.DEVICE_ID}"
{more}
"""


def secret_file(directory: Path, name: str, value: str) -> Path:
    """A file that only its owner reads."""
    path = directory / name
    path.touch(mode=0o600)
    path.write_text(value)
    return path


class Daemon:
    """`eliot-broker serve` as a process; `with Daemon(directory, text)` waits until it answers.

    `text` is what follows [socket], [state] and [login] in broker.toml.
    """

    def __init__(
        self, directory: Path, text: str, *, log_level: str = "debug", environ: dict[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.socket_path = directory / "broker.sock"
        self.config = directory / "broker.toml"
        self.errors = directory / "stderr.log"
        self.environ = {"PATH": os.environ["PATH"], **(environ or {})}
        self._head = f"""
[socket]
path = "{self.socket_path}"
[state]
directory = "{directory}/state"
[login]
listen = ""
[log]
level = "{log_level}"
format = "json"
"""
        self.write(text)
        self.client = Client(self.socket_path, timeout_seconds=20)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, text: str) -> None:
        """Write the configuration (anew)."""
        self.config.write_text(self._head + text)

    def command(self) -> list[str | Path]:
        """What is run."""
        return [sys.executable, "-m", "broker", "serve", "--config", self.config]

    def start(self) -> Self:
        """Start the process, not waiting for anything."""
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                self.command(),
                env=self.environ,
                stdout=errors,
                stderr=errors,
                cwd=ROOT,
            )
        return self

    def wait_up(self) -> Self:
        """Wait until the socket answers; fail with what it wrote when it ended instead."""
        until(self._answers, seconds=START_SECONDS, what=self.log)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            self.client.status()
        except Unreachable:
            return False
        except Problem:
            return True
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def log(self) -> str:
        """All that it wrote."""
        return self.errors.read_text() if self.errors.exists() else ""

    def login(self, cloud: Cloud, name: str = "home") -> dict[str, Any]:
        """Log in as the person would, by pasting."""
        begun = self.client.login(name)
        return self.client.complete_login(name, follow_login(begun["authorization_url"], cloud.ca_file))

    def problem(self, name: str = "front-door", **wanted: int) -> Problem:
        """The problem with which a ticket is refused."""
        try:
            found = self.client.ticket(name, **wanted)
        except Problem as problem:
            return problem
        raise AssertionError(f"a ticket was vended: {found}")

    def __enter__(self) -> Self:
        return self.start().wait_up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()


def run_serve(config: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`serve` where it is expected to refuse to start."""
    return subprocess.run(
        [sys.executable, "-m", "broker", "serve", "--config", str(config)],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=ROOT,
    )
