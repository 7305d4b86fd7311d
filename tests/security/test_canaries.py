"""A canary of each kind through every failure path, at every log level: none sings where it must not be heard."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, Options
from tests.e2e.daemon import ROOT
from tests.e2e.waiting import until
from tests.security.canaries import Canaries
from tests.security.mishaps import everything_fails, the_state_travels
from tests.security.world import ACCOUNTS, KINDS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with CloudThread(Options()) as started:
        yield started


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_no_secret_is_heard_whatever_fails(cloud: Cloud, tmp_path: Path, level: str) -> None:
    world = World(tmp_path, cloud, level)
    with world.daemon as daemon:
        everything_fails(world, *ACCOUNTS)
        if level == "debug":
            cloud.revoke()
            for name in ACCOUNTS:
                world.problem("POST", f"/v1/accounts/{name}/refresh")
        daemon.stop(signal.SIGABRT if level == "debug" else signal.SIGTERM)
    if level == "info":
        the_state_travels(world)
    world.canaries.at_work(*KINDS)
    places = world.heard()
    assert world.canaries.found_in(places) == []
    assert b"eyJ" not in places["stderr.log"], "no JWT in the log, whoever made it"
    assert b"BROKER_EVENT" in places["hook.log"], "the hook was told of something"
    assert (b"hook.failed" in places["stderr.log"]) == (level in {"debug", "info", "warning"})
    if level == "debug":
        assert b"Current thread" in places["stderr.log"], "a crash in C shows its frames"


CRASHES = """
import sys
from pathlib import Path
from broker import assembly
from broker.daemon import serve

class Provider:
    def __init__(self, provider): self.provider = provider
    def __getattr__(self, name): return getattr(self.provider, name)
    def refresh(self, refresh_token, *words, **more):
        raise KeyError(refresh_token.reveal())

def make_cloud(config, clock):
    cloud = assembly.real_cloud(config, clock)
    from dataclasses import replace
    return replace(cloud, provider=Provider(cloud.provider))

sys.exit(serve(Path(sys.argv[1]), assembly.Parts(make_cloud=make_cloud)))
"""


def test_a_bug_with_a_secret_in_its_hand_ends_loudly_and_tells_no_secret(cloud: Cloud, tmp_path: Path) -> None:
    world = World(tmp_path, cloud, "debug")
    world.cloud.options.change(id_token_seconds=5)
    with world.daemon as daemon:
        world.complete("gateway", world.login("gateway"))
        daemon.stop()
    with (tmp_path / "crash.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CRASHES, str(daemon.config)], env=daemon.environ, cwd=ROOT, stdout=log, stderr=log
        )
    log_text = (tmp_path / "crash.log").read_text
    try:
        until(lambda: "KeyError" in log_text() or process.poll() is not None, seconds=60, what=log_text)
        until(lambda: process.poll() is not None, seconds=60, what=log_text)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert process.returncode == 1, log_text()
    told = [json.loads(line) for line in log_text().splitlines()]
    (crash,) = [fact for fact in told if fact["event"] == "service.crashed"]
    assert "KeyError" in crash["traceback"]
    assert "in refresh" in crash["traceback"]
    world.canaries.at_work("refresh token")
    assert world.canaries.found_in(world.heard()) == []


def test_the_search_finds_what_it_looks_for() -> None:
    canaries = Canaries()
    canaries.add("code", "a secret of some length")
    for spelled in ("a secret of some length", "a+secret+of+some+length", b"a secret of some length".hex()):
        assert canaries.found_in({"log": f"x {spelled} y".encode()}) == ["code in log"]
    assert canaries.found_in({"log": b"x YSBzZWNyZXQgb2Ygc29tZSBsZW5ndGg= y"}) == ["code in log"]
    assert canaries.found_in({"log": b"a secret"}) == []
    with pytest.raises(AssertionError, match="never seen"):
        canaries.at_work("nonce")
