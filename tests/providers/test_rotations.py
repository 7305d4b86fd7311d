"""Many rotations at a provider that revokes a login when a used refresh token comes back, with and without SIGKILL.

Real broker processes on npm's oidc-provider. Without a kill none may be lost. With one, a login may be lost only where
the kill fell between the provider's commit and our fsync, and never because we sent a token older than one we had.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from broker.adapters.disk import RealDisk
from broker.adapters.state_key import open_key_file
from broker.adapters.store import SealedStore
from broker.client import Client, ClientError, Problem, Unreachable
from broker.sandbox.calls import fingerprint
from broker.services.documents import decode_session, load
from tests.e2e.waiting import pause, until
from tests.providers.houses import OidcProviderHouse
from tests.resilience.home import Nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.providers.houses import House

EVERY = 10
LONGEST_DELAY_SECONDS = 0.03
REUSED = "refresh token already used"
CONFIGURATION = """
[socket]
path = "{directory}/broker.sock"
[state]
directory = "{directory}/state"
[login]
listen = ""
[accounts.home]
provider  = "oidc"
authority = "{origin}"
client_id = "broker-public"
prompt    = "consent"
ca_file   = "{ca_file}"
[accounts.home.api]
base_url         = "{origin}"
subscription_key = "env:KEY"
"""


@dataclass
class Trial:
    """Brokers, one after another, on one state directory and one provider; what happened is counted."""

    nursery: Nursery
    house: OidcProviderHouse
    directory: Path
    luck: random.Random
    acknowledged: int = 0
    kills: int = 0
    reasons: list[str] = field(default_factory=list)
    saved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.config = self.directory / "broker.toml"
        self.config.write_text(
            CONFIGURATION.format(directory=self.directory, origin=self.house.origin, ca_file=self.house.ca_file)
        )
        self.client = Client(self.directory / "broker.sock", timeout_seconds=20)

    def start(self) -> None:
        """A new broker, up."""
        self.pid = self.nursery.bear(
            {
                "config": str(self.config),
                "disk": {"kind": "real"},
                "rest_seconds": 0.05,
                "errors": str(self.directory / "stderr.log"),
                "environ": {"KEY": "0123456789abcdef0123456789abcdef"},
            }
        )
        until(self._answers, seconds=60, what=(self.directory / "stderr.log").read_text)

    def _answers(self) -> bool:
        try:
            self.client.status()
        except Unreachable:
            return False
        return True

    def end(self, number: int) -> None:
        """End the broker by a signal."""
        os.kill(self.pid, number)
        self.nursery.bury()

    def log_in(self) -> None:
        begun = self.client.login("home")
        self.client.complete_login("home", self.house.log_in(begun["authorization_url"]))

    def rotate(self) -> None:
        """One refresh that succeeds; a login that was lost is counted and made anew."""
        try:
            self.client.refresh("home")
        except Problem as problem:
            if problem.code == "login_required":
                self.reasons.append(problem.detail)
                self.log_in()
                return
            if problem.remedy != "retry":
                raise
            pause(0.05)
            self.rotate()
        else:
            self.acknowledged += 1

    def newest_on_disk(self) -> str:
        """The fingerprint of the refresh token that a dead broker left behind."""
        state, disk = self.directory / "state", RealDisk()
        content = SealedStore(state, disk, open_key_file(state, disk)).load("account-home")
        assert content is not None
        token = decode_session(load(content))[0].refresh_token
        assert token is not None
        return fingerprint(token.reveal())

    def rotate_and_kill(self) -> None:
        """Ask for a refresh and kill the broker at a random moment of it."""

        def ask() -> None:
            with suppress(ClientError):
                self.client.refresh("home")
                self.acknowledged += 1

        asking = threading.Thread(target=ask)
        asking.start()
        pause(self.luck.uniform(0, LONGEST_DELAY_SECONDS))
        self.kills += 1
        self.end(signal.SIGKILL)
        asking.join()
        self.saved.add(self.newest_on_disk())
        self.start()


@pytest.fixture
def trial_of(house_of: Callable[[str], House], tmp_path: Path) -> Iterator[Callable[[int], Trial]]:
    house = house_of("oidc-provider")
    assert isinstance(house, OidcProviderHouse)
    with Nursery() as nursery:
        made: list[Trial] = []

        def make(seed: int) -> Trial:
            made.append(Trial(nursery, house, tmp_path, random.Random(seed)))
            made[0].start()
            made[0].log_in()
            return made[0]

        yield make
        made[0].end(signal.SIGTERM)


def without_kills(trial: Trial, rotations: int) -> None:
    before = len(trial.house.grants())
    for _ in range(rotations):
        trial.rotate()
    grants = trial.house.grants()[before:]
    assert trial.reasons == []
    assert (trial.acknowledged, len(grants)) == (rotations, rotations)
    assert all(grant.refusal is None for grant in grants)
    assert [grant.sent for grant in grants[1:]] == [grant.given for grant in grants[:-1]], "always the newest"


def with_kills(trial: Trial, rotations: int) -> None:
    before = len(trial.house.grants())
    for number in range(rotations):
        if number % EVERY == EVERY - 1:
            trial.rotate_and_kill()
        else:
            trial.rotate()
    grants = trial.house.grants()[before:]
    lost = [grant for grant in grants if grant.refusal == REUSED]
    print(f"{rotations} rotations, {trial.kills} kills, {len(lost)} logins lost in the window")
    assert len(trial.reasons) == len(lost), trial.reasons
    assert len(lost) <= trial.kills
    assert all("interrupted" in reason for reason in trial.reasons), trial.reasons
    for grant in lost:
        successors = [other.given for other in grants if other.sent == grant.sent and other.given is not None]
        assert len(successors) == 1
        assert successors[0] not in trial.saved, "the answer was on disk, so sending the old token was our own replay"
        assert all(other.sent != successors[0] for other in grants), "we had used a newer token already"


@pytest.mark.slow
def test_fifty_rotations_lose_nothing(trial_of: Callable[[int], Trial]) -> None:
    without_kills(trial_of(0), 50)


@pytest.mark.slow
def test_fifty_rotations_with_every_tenth_killed_lose_a_login_in_the_known_window_only(
    trial_of: Callable[[int], Trial],
) -> None:
    with_kills(trial_of(random.randrange(1_000_000)), 50)


@pytest.mark.soak
def test_a_thousand_rotations_lose_nothing(trial_of: Callable[[int], Trial]) -> None:
    without_kills(trial_of(0), 1000)


@pytest.mark.soak
def test_a_thousand_rotations_with_every_tenth_killed_lose_a_login_in_the_known_window_only(
    trial_of: Callable[[int], Trial],
) -> None:
    with_kills(trial_of(random.randrange(1_000_000)), 1000)
