"""One account's login as the daemon holds it: the real adapters, the real journal on a real sealed store.

What the daemon adds (socket, sweep) is left out, so that a contract test takes milliseconds. The one invariant: what a
`restart` keeps is what was on disk.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.adapters.clock import SystemClock
from broker.adapters.disk import RealDisk
from broker.adapters.providers import make_provider
from broker.adapters.state_key import open_key_file
from broker.adapters.store import SealedStore
from broker.adapters.worker import ThreadWorker
from broker.core.redirect import check_state, parameters
from broker.core.secret import Secret
from broker.services.fleet import Cloud, Surroundings, make_account
from broker.services.timekeeper import Timekeeper
from tests.services.fakes import FakeClock, FakeIssuer, FakePublisher, Recorder, spawn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.config import AccountConfig
    from broker.core.instant import Reading
    from broker.core.session import Session
    from broker.core.tokens import PendingLogin

REREAD_SECONDS = 61.0
"""After so long the keys may be read again."""


class ShiftedClock:
    """ports.Clock: the machine's own, with a wall clock that is `skew_seconds` off, and time that a test lets pass."""

    def __init__(self, skew_seconds: float = 0.0) -> None:
        self._clock = SystemClock()
        self.skew_seconds = skew_seconds
        self._passed_seconds = 0.0

    def pass_time(self, seconds: float) -> None:
        """So much time passes on this machine, and none at the provider."""
        self._passed_seconds += seconds

    def read(self) -> Reading:
        real = self._clock.read()
        return replace(
            real,
            boot_seconds=real.boot_seconds + self._passed_seconds,
            wall_seconds=real.wall_seconds + self.skew_seconds,
        )


class Holder:
    """An account; `restart` is a new process on the same disk."""

    def __init__(
        self, config: AccountConfig, directory: Path, *, environ: Mapping[str, str], clock: ShiftedClock | None = None
    ) -> None:
        self.config = config
        self.clock = clock or ShiftedClock()
        self.events = Recorder()
        self._directory = directory
        self._environ = environ
        self._worker = ThreadWorker("holder", 2)
        self.restart()

    def restart(self) -> None:
        """Begin anew with what is on disk."""
        provider, verifier = make_provider(self.config, self.clock, environ=self._environ)
        self.provider, self.verifier = provider, verifier
        disk = RealDisk()
        store = SealedStore(self._directory, disk, open_key_file(self._directory, disk))
        store.prepare()
        self.timekeeper = Timekeeper(self.clock, self.events)
        around = Surroundings(
            store=store,
            worker=self._worker,
            exchanges=self._worker,
            timekeeper=self.timekeeper,
            events=self.events,
            publisher=FakePublisher(),
            spawn=spawn,
            rest_seconds=0.1,
        )
        cloud = Cloud(provider, verifier, FakeIssuer(FakeClock()))
        self.identity = make_account(self.config, cloud, around).identity
        self.identity.open()
        self.identity.adopt()

    @property
    def session(self) -> Session:
        """The present login."""
        assert self.identity.session is not None
        return self.identity.session

    @property
    def refresh_token(self) -> Secret:
        """The newest refresh token."""
        token = self.session.refresh_token
        assert token is not None
        return token

    async def begin(self) -> PendingLogin:
        """An authorization request."""
        return await self.identity.begin_login()

    async def finish(self, pending: PendingLogin, redirect_url: str) -> None:
        """What the person brought back. Raises: BrokerError."""
        found = parameters(Secret(redirect_url))
        check_state(found, pending)
        await self.identity.finish_login(pending, found)

    async def refresh(self) -> None:
        """One refresh now. Raises: BrokerError."""
        await self.identity.refresh_now()

    def close(self) -> None:
        """End its threads."""
        self._worker.drain(10)
        self._worker.close()
