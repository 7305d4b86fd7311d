"""Any sequence of saves, failures, deaths and power cuts: what was acknowledged is what is loaded."""

from __future__ import annotations

import errno
import random
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.adapters.state_key import StateKey
from broker.adapters.store import SealedStore
from broker.errors import StoreUnavailable
from tests.adapters.faulty_disk import Died, FaultyDisk

HERE = Path("/state")
KEY = StateKey(b"k" * 32, "test")
SIZES = st.sampled_from([10, 300, 700, 3000])  # within a slot of 512 bytes, and beyond: the file grows
STEPS = st.integers(0, 7)


class CrashingStore(RuleBasedStateMachine):
    """`possible`: the content last acknowledged and all that were tried since."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.disk = FaultyDisk(random.Random(seed))
        self.disk.make_directory(HERE)
        self.possible: set[bytes | None] = {None}
        self.count = 0
        self.start()

    def start(self) -> None:
        self.store = SealedStore(HERE, self.disk, KEY, slot_bytes=512)
        self.store.prepare()

    def content(self, size: int) -> bytes:
        self.count += 1
        return str(self.count).encode().ljust(size, b".")

    @rule(size=SIZES)
    def save(self, size: int) -> None:
        content = self.content(size)
        self.store.save("tickets", content)
        self.possible = {content}

    @rule(size=SIZES, after=STEPS, error=st.sampled_from([errno.EIO, errno.ENOSPC, errno.EROFS]))
    def save_with_failure(self, size: int, after: int, error: int) -> None:
        content = self.content(size)
        self.disk.fail(after=after, error=error)
        try:
            self.store.save("tickets", content)
        except StoreUnavailable:
            self.possible.add(content)
        else:
            self.possible = {content}
        self.disk.restart()  # the failure, where it was not reached, is taken back; the process goes on

    @rule(size=SIZES, after=STEPS, power_loss=st.booleans())
    def save_and_die(self, size: int, after: int, power_loss: bool) -> None:
        content = self.content(size)
        self.disk.die(after=after)
        try:
            self.store.save("tickets", content)
        except Died:
            self.possible.add(content)
        else:
            self.possible = {content}
        self.disk.restart(power_loss=power_loss)
        self.start()

    @rule(power_loss=st.booleans())
    def restart(self, power_loss: bool) -> None:
        self.disk.restart(power_loss=power_loss)
        self.start()

    @rule()
    def load(self) -> None:
        assert self.store.load("tickets") in self.possible

    @invariant()
    def a_new_process_would_find_it(self) -> None:
        if hasattr(self, "disk"):
            assert SealedStore(HERE, self.disk, KEY).load("tickets") in self.possible


TestCrashingStore = CrashingStore.TestCase
TestCrashingStore.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
