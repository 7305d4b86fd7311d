"""Session, journal, sealed store and flights together, under any order of events, on a disk that fails and dies.

What must hold: a token that was heard to be rejected is never sent again; a logout is never undone by a late answer or
a restart; the newest token that was heard is never lost but in the one write that a crash may cut; no two flights.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.adapters.state_key import StateKey
from broker.adapters.store import SealedStore
from broker.errors import BrokerError, GrantRejected, UpstreamUnavailable
from tests.adapters.faulty_disk import Died, FaultyDisk
from tests.services.fakes import GatedWorker, World

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from broker.core.secret import Secret
    from broker.core.tokens import TokenSet

STATE = Path("/state")
KEY = StateKey(b"k" * 32, "test")
DOWN = UpstreamUnavailable("down", service="token endpoint")
LOST = UpstreamUnavailable("lost", service="token endpoint", ambiguous=True)
OUTCOMES = st.sampled_from([None, None, DOWN, LOST, "lose"])
ERRORS = st.sampled_from([errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])


class HeartMachine(RuleBasedStateMachine):
    """`heard` and `dead` are what the process was told since its state was last known to be on the disk.

    A process that dies in a write leaves in the cache what the next one reads, and what a power cut may still undo:
    until the next save both are right.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.gate = GatedWorker()
        self.tasks: list[asyncio.Task[None]] = []
        self.disk = FaultyDisk(random.Random(0))
        self.logged_in: bool | None = False  # None: a logout was cut short, both are right
        self.heard: list[str] = []
        self.dead: set[str] = set()
        self.dead_unsaved: set[str] = set()
        self.saves = (0, 0)

    def teardown(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.close()

    @initialize(strict=st.booleans())
    def begin(self, strict: bool) -> None:
        self.world = World(store=self._store(), strict=strict, exchanges=self.gate)
        self.world.identity.token._spawn = self._spawn
        self.world.provider.answer = self._hear
        use = self.world.provider._use

        def used(token: str) -> TokenSet:
            assert token not in self.dead, "a token rejected for good is never sent again"
            try:
                return use(token)
            except GrantRejected:
                self.dead.add(token)
                self.dead_unsaved.add(token)
                raise

        self.world.provider._use = used  # type: ignore[method-assign]

    def _store(self) -> SealedStore:
        store = SealedStore(STATE, self.disk, KEY, slot_bytes=4096)
        store.prepare()
        return store

    def _hear(self, tokens: TokenSet) -> TokenSet:
        assert tokens.refresh_token is not None
        self.heard.append(tokens.refresh_token.reveal())
        return tokens

    def run(
        self, work: Coroutine[object, object, None], *, logging_out: bool = False, logging_in: bool = False
    ) -> None:
        """Do it; where the disk was the end of the process in the midst of it, begin another one."""
        self.loop.run_until_complete(self._guarded(work))
        if self.disk._dead:
            if logging_out or logging_in:
                self.logged_in = None
            self._crashed()

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        with contextlib.suppress(Died):
            await work
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, Died):
                raise error

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    async def _end(self) -> None:
        self.disk.restart()
        while self.gate.waiting:
            self.gate.release()
            await self.world.settle()
        await self._cancel()

    async def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    # what happens

    @rule()
    def login(self) -> None:
        self.run(self._login(), logging_in=True)

    async def _login(self) -> None:
        work = self._spawn(self.world.login())
        while not work.done() and not self.disk._dead:
            self.gate.release()
            await self.world.settle()
        if self.disk._dead:
            return
        self.tasks.remove(work)
        error = work.exception()
        if error is None:
            self.logged_in = True
            self.dead.clear()
            self.dead_unsaved.clear()
        elif not isinstance(error, BrokerError):
            raise error
        else:
            self._uncertain()  # it may be on the disk, though nobody could be told so
            self._logged_in_as_before()

    def _uncertain(self) -> None:
        self.logged_in, self.saves = None, self._saves()

    def _logged_in_as_before(self) -> None:
        session = self.world.journal.session
        if session is not None and session.refresh_token is not None:
            self.heard.append(session.refresh_token.reveal())

    @rule()
    def logout(self) -> None:
        self.run(self._logout(), logging_out=True)

    async def _logout(self) -> None:
        try:
            await self.world.identity.logout()
        except BrokerError:
            self._uncertain()  # the name may be gone though the directory was not synced
        else:
            self.logged_in = False
            self.heard.clear()

    @rule(triggers=st.integers(1, 8), outcome=OUTCOMES)
    def trigger(self, triggers: int, outcome: BrokerError | str | None) -> None:
        self.world.provider.outcomes.clear()
        if outcome is not None:
            self.world.provider.outcomes.append(outcome)
        self.run(self._trigger(triggers))

    async def _trigger(self, triggers: int) -> None:
        if self.world.identity.usable:
            flights = {self.world.identity.token.start() for _ in range(triggers)}
            assert len(flights) == 1
        await self.world.settle()
        assert self.gate.waiting <= 1

    @rule()
    def land(self) -> None:
        self.run(self._land())

    async def _land(self) -> None:
        before = len(self.world.provider.seen)
        self.gate.release()
        await self.world.settle()
        assert len(self.world.provider.seen) - before <= 2  # the newest, and where that was rejected the previous

    @rule(seconds=st.sampled_from([1.0, 6.0, 300.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.run(self._sweep())

    async def _sweep(self) -> None:
        await self.world.sweep()

    @precondition(lambda self: self.disk._dies_at is None)
    @rule(after=st.integers(0, 6), error=ERRORS)
    def disk_fails_once(self, after: int, error: int) -> None:
        self.disk.fail(after=after, error=error)

    @rule(error=st.one_of(st.none(), ERRORS))
    def disk_fails_always_or_is_well(self, error: int | None) -> None:
        self.disk.always = error

    @rule(after=st.integers(0, 8))
    def disk_will_be_the_end(self, after: int) -> None:
        self.disk.die(after=after)

    @rule(power_loss=st.booleans())
    def crash(self, power_loss: bool) -> None:
        self._crashed(power_loss=power_loss)

    def _crashed(self, *, power_loss: bool = False) -> None:
        self.gate._waiting.clear()
        self.loop.run_until_complete(self._cancel())
        before = self.world.journal.session
        if before is not None and before.refresh_token is not None:
            self.heard.insert(0, before.refresh_token.reveal())
        self.disk.restart(power_loss=power_loss)
        self.world.store = self._store()
        self.world.restart()
        self.world.identity.token._spawn = self._spawn
        session = self.world.journal.session
        if self.logged_in is False:
            assert session is None, "a logout is never undone"
        elif self.logged_in and session is None:
            raise AssertionError("a login is never lost")
        if session is not None:
            assert session.refresh_token is not None
            kept = session.refresh_token.reveal()
            assert kept in self.heard, f"{kept} is none of {self.heard}"
            self.heard.append(kept)
        self.dead -= self.dead_unsaved
        self.dead_unsaved.clear()
        self.saves = self._saves()

    def _saves(self) -> tuple[int, int]:
        return self.world.journal.epoch, self.world.journal._saves

    # what holds always

    @invariant()
    def one_flight_at_a_time(self) -> None:
        if hasattr(self, "world"):
            assert self.world.provider.most_flying <= 1

    @invariant()
    def the_newest_token_that_was_heard_is_held_in_memory(self) -> None:
        if not hasattr(self, "world"):
            return
        session = self.world.journal.session
        if self.logged_in is False:
            assert session is None
        if session is None or self.gate.waiting or not self.heard:
            return
        held: Secret | None = session.refresh_token
        assert held is not None
        assert held.reveal() == self.heard[-1]
        if not self.world.journal.unsaved and self._saves() != self.saves:  # what a cut write left is settled now
            self.heard, self.logged_in = [held.reveal()], True
            self.dead_unsaved.clear()


TestHeart = HeartMachine.TestCase
TestHeart.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
