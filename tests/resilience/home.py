"""A home: a stand-in cloud, a state directory and real broker processes on it, one after another.

with Nursery() as nursery, Home(nursery, tmp_path) as home:
    with home.broker(disk=…) as broker: …
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from broker.adapters.disk import RealDisk
from broker.adapters.state_key import open_key_file
from broker.adapters.store import SealedStore
from broker.client import Client, ClientError, Problem, Unreachable
from broker.sandbox import CloudThread, Options, credentials, follow_login
from broker.services.documents import decode_session, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from broker.core.session import Session

ROOT = Path(__file__).resolve().parents[2]
REST_SECONDS = 0.05
CONFIGURATION = """
[socket]
path = "{directory}/broker.sock"
[state]
directory = "{directory}/state"
[login]
listen = ""
[log]
level = "debug"
format = "json"
[accounts.home]
provider      = "partner"
authority     = "{authority}"
client_id     = "{client_id}"
client_secret = "file:{directory}/client-secret"
redirect_uri  = "{redirect_uri}"
ca_file       = "{ca_file}"
[accounts.home.oauth]
{oauth}
[accounts.home.api]
base_url         = "{base_url}"
subscription_key = "file:{directory}/subscription-key"
[tickets.front-door]
account   = "home"
plant_id  = "{plant_id}"
device_id = "{device_id}"
warm      = "on-demand"
"""


class Nursery:
    """The process that forks brokers."""

    def __init__(self, *, environ: dict[str, str] | None = None) -> None:
        self._environ = environ or {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.resilience.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **self._environ},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)

    def bear(self, wish: dict[str, Any]) -> int:
        """Start a broker; its pid."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return int(self._answer()["pid"])

    def bury(self) -> int:
        """Wait for the broker's end; its exit status, negative for a signal."""
        return int(self._answer()["status"])

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the nursery itself died"
        answer: dict[str, Any] = json.loads(line)
        return answer


class Broker:
    """A broker process that is alive."""

    def __init__(self, home: Home, pid: int) -> None:
        self.home = home
        self.pid = pid
        self.client = Client(home.directory / "broker.sock", timeout_seconds=20)
        self.status: int | None = None

    def up(self) -> Self:
        """Wait until it answers."""
        until(self._answers, seconds=60, what=self.home.log)
        return self

    def up_or_gone(self) -> bool:
        """Wait until it answers, or has died."""
        until(lambda: self._answers() or self._is_dead(), seconds=60, what=self.home.log)
        return not self._is_dead()

    def _is_dead(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    def _answers(self) -> bool:
        try:
            self.client.status()
        except Unreachable:
            return False
        return True

    @property
    def account(self) -> dict[str, Any]:
        """The account's row."""
        return self.client.account("home")

    def login(self) -> dict[str, Any]:
        """Log in as the person would."""
        begun = self.client.login("home")
        landed = follow_login(begun["authorization_url"], self.home.cloud.ca_file)
        return self.client.complete_login("home", landed)

    def refresh(self, *, seconds: float = 10.0) -> dict[str, Any]:
        """A refresh that succeeds, as soon as one may be made; no person helps. Raises: Problem (a person must)."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.client.refresh("home")
            except Problem as problem:
                if problem.remedy != "retry" or time.monotonic() > end:
                    raise
            pause(0.02)

    def problem_of_refresh(self) -> Problem | None:
        """What keeps a refresh from ever succeeding without a person; None where it succeeded."""
        try:
            self.refresh()
        except Problem as problem:
            return problem
        return None

    def provoke(self) -> str | None:
        """Ask for a refresh that may never be answered; the problem's code if there is one, "gone" if it died."""
        try:
            self.client.refresh("home")
        except Problem as problem:
            return problem.code
        except ClientError:
            return "gone"
        return None

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        if self.status is None:
            self.status = self.home.nursery.bury()
        return self.status

    def kill(self) -> int:
        """SIGKILL, and its end."""
        return self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and its end."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        if self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        return self.wait()


class Home:
    """Cloud, configuration and state."""

    def __init__(self, nursery: Nursery, directory: Path, **options: Any) -> None:
        self.nursery = nursery
        self.directory = directory
        self.errors = directory / "stderr.log"
        self.armed = directory / "armed"
        self.plan = directory / "disk-plan"
        self._thread = CloudThread(Options(**options))

    def __enter__(self) -> Self:
        self.cloud = self._thread.__enter__()
        for name, value in (
            ("client-secret", credentials.PARTNER_CLIENT_SECRET),
            ("subscription-key", credentials.SUBSCRIPTION_KEY),
        ):
            self.secret(name, value)
        self.configure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.__exit__(kind, error, traceback)

    def secret(self, name: str, value: str) -> None:
        """Write a secret's file."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(value)

    def configure(self, oauth: str = "", more: str = "") -> Path:
        """Write broker.toml."""
        text = CONFIGURATION.format(
            directory=self.directory,
            authority=self.cloud.partner_authority,
            client_id=credentials.PARTNER_CLIENT_ID,
            redirect_uri=credentials.REDIRECT_URI,
            ca_file=self.cloud.ca_file,
            oauth=oauth,
            base_url=self.cloud.api_base_url,
            plant_id=credentials.PLANT_ID,
            device_id=credentials.DEVICE_ID,
        )
        config = self.directory / "broker.toml"
        config.write_text(text + more)
        return config

    def log(self) -> str:
        """All that the brokers wrote."""
        return self.errors.read_text() if self.errors.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name in the log."""
        whole = self.log().rpartition("\n")[0]  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    @contextmanager
    def broker(self, disk: dict[str, Any] | None = None, *, up: bool = True, **wish: Any) -> Iterator[Broker]:
        """A broker process, ended at the end of the block if it has not by then."""
        wish = {
            "config": str(self.directory / "broker.toml"),
            "disk": disk or {"kind": "real"},
            "rest_seconds": REST_SECONDS,
            "errors": str(self.errors),
            **wish,
        }
        broker = Broker(self, self.nursery.bear(wish))
        try:
            yield broker.up() if up else broker
        finally:
            if broker.status is None:
                broker.kill()

    def session(self) -> Session | None:
        """The login as the disk has it; for moments when no broker lives."""
        disk = RealDisk()
        store = SealedStore(self.directory / "state", disk, open_key_file(self.directory / "state", disk))
        found = read(store, "account-home", decode_session)
        return None if found is None else found[0]

    @property
    def token_requests(self) -> int:
        """How many requests the token endpoint has seen."""
        return self.cloud.calls.count("token")


def pause(seconds: float) -> None:
    """Let another process work."""
    time.sleep(seconds)  # noqa: TID251  the one place: a real process needs real time


def until(true: Callable[[], bool], *, seconds: float, what: Callable[[], str] | str = "") -> None:
    """Wait until it is true; fail after so many seconds with `what`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        pause(0.005)
