"""SIGKILL at every step of a refresh: each file operation, each phase of the cloud's answer, each event on the wire.

The processes are real, the cloud is the stand-in, the steps are enumerated: each point is found by counting until a
refresh gets through unharmed. Against a cloud that keeps old tokens valid every login must live; against one that
rotates strictly every login whose newest token reached the disk.
"""

from __future__ import annotations

import signal
import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import credentials
from tests.resilience.home import Home, Nursery, pause, until
from tests.resilience.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.client import Problem
    from broker.sandbox.calls import Call, Endpoint
    from broker.sandbox.weather import Phase
    from tests.resilience.home import Broker
    from tests.resilience.killing_disk import How

KILLED = -signal.SIGKILL
MOST_OPERATIONS = 60
PHASES: tuple[Phase, ...] = ("before_reading", "before_commit", "after_commit", "mid_answer", "after_answer")
ENDPOINTS: tuple[Endpoint, ...] = ("token", "metadata", "keys")
WINDOW = {"operation 3 before", "operation 3 torn"}  # the write of the answer; 1 and 2 are the intent's
REPEATS_AT_MOST = 2  # the newest token, then the previous: a login that is lost is never asked for in a loop


@dataclass
class Story:
    """What the kills did to one login after another."""

    home: Home
    relay: Relay
    strict: bool
    kills: int = 0
    lost: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Log in once."""
        with self.home.broker() as broker:
            broker.login()
            assert broker.stop() == 0

    def killed(self, label: str) -> None:
        """A broker was killed there: see what the next one can do without a person."""
        self.kills += 1
        self.settle_cloud()
        newest = self._newest_on_disk()
        before = self.home.token_requests
        with self.home.broker() as broker:
            problem = broker.problem_of_refresh()
            if problem is not None:
                self._judge_loss(problem, newest, label)
                assert self.home.token_requests - before <= REPEATS_AT_MOST, label
                broker.login()
            assert broker.account["state"] == "logged_in", label
            broker.kill()

    def _judge_loss(self, problem: Problem, newest: str, label: str) -> None:
        self.lost.add(label)
        assert self.strict, f"{label}: lost against a lenient cloud: {problem}"
        used = [call for call in self.home.cloud.calls.of("token") if call.refresh_token == newest]
        assert any(call.new_refresh_token for call in used), f"{label}: lost, though the newest was saved: {problem}"
        assert problem.code == "login_required", label
        assert "interrupted" in str(problem.detail), label

    def settle_cloud(self) -> None:
        """The old request ends at the cloud, whoever asked."""
        until(lambda: self.relay.idle, seconds=30)
        pause(0.02)
        calls = self.home.cloud.calls
        until(lambda: all(call.status is not None for call in calls.of("token")), seconds=30)

    def _newest_on_disk(self) -> str:
        session = self.home.session()
        assert session is not None
        assert session.refresh_token is not None
        return session.refresh_token.fingerprint

    # the kills

    def by_file_operation(self, how: How, *, from_start: bool) -> None:
        """Kill at the first operation, at the second, … until none is left."""
        for operation in range(1, MOST_OPERATIONS):
            self.home.armed.unlink(missing_ok=True)
            if from_start:
                self.home.armed.touch()
            died = self._one_operation(operation, how)
            self.home.armed.unlink(missing_ok=True)
            if not died:
                return
            where = "since the start, operation" if from_start else "operation"
            self.killed(f"{where} {operation} {how}")
        raise AssertionError("a refresh of so many file operations?")

    def _one_operation(self, operation: int, how: How) -> bool:
        disk = {"kind": "killing", "armed": str(self.home.armed), "operation": operation, "how": how}
        with self.home.broker(disk, up=False) as broker:
            if not broker.up_or_gone():
                assert broker.wait() == KILLED
                return True
            if not self.home.armed.exists():
                broker.refresh()
                self.home.armed.touch()
            if broker.provoke() == "gone":
                assert broker.wait() == KILLED
                return True
            return False

    def by_phase(self, phase: Phase, endpoint: Endpoint) -> None:
        """Kill while the cloud is in this phase of its answer; a new process asks for metadata and keys after it."""
        with self.home.broker() as broker:
            self.home.cloud.script.on(phase, lambda _: broker.signal(signal.SIGKILL), endpoint=endpoint)
            broker.provoke()
            assert broker.wait() == KILLED
        self.killed(f"{endpoint} {phase}")

    def by_wire_event(self) -> None:
        """Kill at the first thing that happens on the wire, at the second, … until a refresh gets through."""
        for number in range(1, MOST_OPERATIONS):
            with self.home.broker() as broker:
                self.relay.reset(partial(_kill_at, number, broker))
                died = broker.provoke() == "gone"
                self.relay.reset(lambda _: None)
                if not died:
                    return
                assert broker.wait() == KILLED
            self.killed(f"wire event {number}")

    def tell(self) -> None:
        """For whoever looks at the figures: pytest -rP."""
        print(
            f"{self.kills} kills against a {'strict' if self.strict else 'lenient'} cloud, {len(self.lost)} points lost"
        )
        print(*sorted(self.lost), sep="\n")

    def everything(self) -> None:
        """One round of all kills."""
        self.home.configure()
        for from_start in (False, True):
            for how in ("before", "torn", "after"):
                self.by_file_operation(how, from_start=from_start)
        for endpoint in ENDPOINTS:
            for phase in PHASES:
                self.by_phase(phase, endpoint)
        self.home.configure(oauth=self._through())
        self.by_wire_event()

    def _through(self) -> str:
        origins = (self.home.cloud.origin, f"https://127.0.0.1:{self.relay.port}")
        issuers = ", ".join(f'"{origin}/{credentials.TENANT_ID}/v2.0/"' for origin in origins)
        return f'token_endpoint = "{origins[1]}/token"\nissuer = [{issuers}]'


def _kill_at(number: int, broker: Broker, count: int) -> None:
    if count == number:
        broker.signal(signal.SIGKILL)


@pytest.fixture
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    rotation = request.param
    with Nursery() as nursery, Home(nursery, tmp_path, rotation=rotation) as home, Relay(home.cloud.port) as relay:
        told = Story(home, relay, rotation == "strict")
        told.begin()
        yield told


@pytest.mark.slow
@pytest.mark.parametrize("story", ["lenient"], indirect=True)
def test_the_process_is_killed_at_any_step_of_a_refresh(
    story: Story,
) -> None:
    story.everything()
    story.tell()
    assert story.lost == set()
    assert story.kills >= 50


@pytest.mark.slow
@pytest.mark.parametrize("story", ["strict"], indirect=True)
def test_the_process_is_killed_at_any_step_and_the_cloud_takes_each_token_once(
    story: Story,
) -> None:
    story.everything()
    story.tell()
    by_operation = {label for label in story.lost if label.startswith("operation")}
    assert by_operation == WINDOW
    assert not {label for label in story.lost if label.startswith(("metadata", "keys"))}, "saved before it is verified"
    assert story.kills >= 50


@pytest.mark.soak
@pytest.mark.parametrize("story", ["lenient", "strict"], indirect=True)
def test_a_thousand_kills(story: Story) -> None:
    while story.kills < 500:
        story.everything()
    story.tell()
    assert story.strict or story.lost == set()


@pytest.mark.slow
def test_the_answer_with_the_only_valid_token_is_lost(tmp_path: Path) -> None:
    with (
        Nursery() as nursery,
        Home(nursery, tmp_path, rotation="strict") as home,
        Relay(home.cloud.port) as relay,
    ):
        told = Story(home, relay, strict=True)
        told.begin()
        with home.broker() as broker:
            home.cloud.script.on("after_commit", lambda _: broker.signal(signal.SIGKILL))
            broker.provoke()
            broker.wait()
        told.settle_cloud()
        with home.broker() as broker:
            until(lambda: broker.account["state"] == "login_required", seconds=30)
            row, asked = broker.account, home.token_requests
            assert "interrupted" in row["detail"]
            assert row["remedy"] == "login"
            pause(1.0)
            assert broker.provoke() == "login_required"
            assert home.token_requests == asked
        with home.broker() as broker:  # nor after a restart
            assert "interrupted" in broker.account["detail"]
            pause(0.5)
            assert home.token_requests == asked


@pytest.mark.slow
def test_the_window_in_which_a_strict_cloud_can_lose_a_login_is_short(tmp_path: Path) -> None:
    log, committed = tmp_path / "operations", list[float]()
    with Nursery() as nursery, Home(nursery, tmp_path, rotation="strict") as home:
        with home.broker() as broker:
            broker.login()
        disk = {"kind": "killing", "armed": str(home.armed), "operation": 0, "how": "before", "log": str(log)}
        with home.broker(disk) as broker:
            broker.refresh()
            home.armed.touch()

            def note(_call: Call) -> None:
                committed.append(time.monotonic())

            home.cloud.script.on("after_commit", note, times=None)
            for _ in range(30):
                broker.refresh()
    synced = [float(line.split()[0]) for line in log.read_text().splitlines() if " sync " in line]
    windows = [(end - start) * 1000 for start, end in zip(committed, synced[1::3], strict=True)]
    print(f"window: median {statistics.median(windows):.1f} ms, longest {max(windows):.1f} ms of {len(windows)}")
    assert min(windows) > 0
    assert statistics.median(windows) < 250
