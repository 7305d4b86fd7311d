"""A real process under faketime: its wall clock is stepped while it runs, and renewal goes on.

libfaketime changes CLOCK_REALTIME only here (FAKETIME_DONT_FAKE_MONOTONIC): CLOCK_BOOTTIME cannot be stepped by
anybody in real life either. The cloud runs in true time; its certificates live five years to either side.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.adapters.disk import RealDisk
from broker.adapters.state_key import open_key_file
from broker.adapters.store import SealedStore
from broker.client import Problem
from broker.sandbox import api_fault
from tests.resilience.home import Home, Nursery, until

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
DAY = 86_400
STEPS = {"a day back": -DAY, "an hour ahead": 3600, "three years ahead": 3 * 365 * DAY}
IMPOSSIBLE = {"ten years ahead": 10 * 365 * DAY, "to 1970": None}
SHORT = {"id_token_seconds": 4}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(LIBRARY is None, reason="cannot run here: no libfaketime (apt-get install faketime)"),
]


class WallClock:
    """What the broker's wall clock says: `step(seconds)` from true time, None for a few minutes into 1970."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "faketime"
        self.step(0)

    def step(self, seconds: int | None) -> None:
        """Set it, while the process runs."""
        draft = self.file.with_suffix(".new")
        draft.write_text("@1970-01-01 00:05:00\n" if seconds is None else f"{seconds:+d}\n")
        draft.rename(self.file)

    @property
    def environ(self) -> dict[str, str]:
        """What puts a process under it."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }


@pytest.fixture
def wall(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def home(wall: WallClock, tmp_path: Path) -> Iterator[Home]:
    directory = tmp_path / "home"
    directory.mkdir()
    with Nursery(environ=wall.environ) as nursery, Home(nursery, directory, **SHORT) as made:
        yield made


@pytest.mark.parametrize("step", STEPS)
def test_the_wall_clock_is_stepped(home: Home, wall: WallClock, step: str) -> None:
    seconds = STEPS[step]
    with home.broker() as broker:
        broker.login()
        wall.step(seconds)
        asked = home.token_requests
        until(lambda: home.token_requests >= asked + 2, seconds=60, what=home.log)
        row, clock = broker.account, broker.client.status()["clock"]
        assert row["state"] == "logged_in"
        assert row["id_token"]["expires_in"] <= SHORT["id_token_seconds"]
        assert abs(clock["skew_seconds"] - seconds) <= 3
        assert broker.client.ticket("front-door", wait=30).value
        until(lambda: len(home.events("clock.stepped")) == 1, seconds=60)
    assert len(home.events("clock.skewed")) == 1
    assert home.token_requests - asked <= 12, "a step makes no storm"


@pytest.mark.parametrize("step", IMPOSSIBLE)
def test_the_clock_is_so_wrong_that_tls_fails(home: Home, wall: WallClock, step: str) -> None:
    with home.broker() as broker:
        broker.login()
        wall.step(IMPOSSIBLE[step])
        until(lambda: broker.account["last_failure"] is not None, seconds=30)
        failure = broker.account["last_failure"]
        assert "by the local clock" in failure["detail"]
        assert "the clock says 19" in failure["hint"] or "the clock says 203" in failure["hint"]
        assert broker.account["state"] == "logged_in"
        wall.step(0)
        until(lambda: broker.account["last_failure"] is None, seconds=80, what=home.log)
        assert broker.account["state"] == "logged_in"


def test_the_machine_boots_in_1970(home: Home, wall: WallClock) -> None:
    with home.broker() as broker:
        broker.login()
        home.cloud.script.add("call_in", api_fault("not_found"), times=1)
        with pytest.raises(Problem, match="404"):  # kept: after the boot it must not hide what is wrong
            broker.client.ticket("front-door")
        broker.stop()
    forget_the_boot(home)
    wall.step(None)
    with home.broker() as broker:
        until(lambda: bool(home.events("clock.unsynchronized")), seconds=30)
        assert broker.account["state"] == "logged_in"
        assert broker.client.status()["clock"]["synchronized"] is False
        with pytest.raises(Problem) as told:
            broker.client.ticket("front-door")
        assert (told.value.code, told.value.remedy) == ("clock_unsynchronized", "retry")
        assert "NTP" in str(told.value.hint)
        assert "404" not in told.value.detail
        until(lambda: broker.account["last_failure"] is not None, seconds=30)
        assert {row["code"] for row in broker.client.status()["problems"]} == {"clock_unsynchronized"}
        assert "the clock says 1970" in broker.account["last_failure"]["hint"]
        wall.step(0)
        until(lambda: broker.account["last_failure"] is None, seconds=80, what=home.log)
        assert broker.client.status()["clock"]["synchronized"] is True
        assert broker.client.ticket("front-door", wait=30).value
        assert broker.client.status()["problems"] == []
    assert len(home.events("clock.unsynchronized")) == 1


def forget_the_boot(home: Home) -> None:
    """Let the state be one that another boot of the machine wrote."""
    disk, state = RealDisk(), home.directory / "state"
    store = SealedStore(state, disk, open_key_file(state, disk))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().encode()
    for name in store.names():
        content = store.load(name)
        assert content is not None
        store.save(name, content.replace(boot, b"another-boot"))
