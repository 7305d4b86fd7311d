"""The world of one drill: plays the script to its end against the real services, and says what was seen.

It puts the machine, the people and the weather together. The same script, the same log. Knows everything here but the
oracle. The one invariant: what happens is in the script or follows from its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.drill.inheritance import Inheritance
from broker.drill.machine import Machine
from broker.drill.people import Callers, Person
from broker.drill.script import DAY, HOUR
from broker.drill.virtual import START_SECONDS, run_virtual
from broker.drill.weather import Weather
from broker.drill.world_clock import WorldClock
from broker.services.timekeeper import BUILT_SECONDS

if TYPE_CHECKING:
    from broker.drill.script import Script
    from broker.drill.watch import Watch

KEEPALIVE_SECONDS = DAY
LEAST_SECONDS = 1e-5  # less cannot be added to a Unix time: waited for, it would never be over


@dataclass(frozen=True, slots=True)
class Seen:
    """What one drill came to: the watch with all it saw, and how much was done."""

    script: Script
    watch: Watch
    sweeps: int
    sign_ins: tuple[float, ...]
    downs: tuple[tuple[float, float], ...]
    logged_out: tuple[tuple[float, float], ...]

    @property
    def digest(self) -> str:
        """Of the whole log: the same seed gives the same."""
        return self.watch.digest.hexdigest()


def play(script: Script, *, keep_log: bool = False, most_violations: int = 200) -> Seen:
    """Live through a script, or until so many promises were broken. Raises: whatever is a bug of the drill itself."""
    clock = WorldClock(_begins_at(script))
    world = World(script, clock)
    world.watch.most_violations = most_violations
    if keep_log:
        world.watch.decisions = []
    run_virtual(world.live(), clock)
    return world.seen()


def _begins_at(script: Script) -> float:
    """Now, where the present is handed over; hours of the week matter then. A clock of 1970 is not believed."""
    present = script.present
    return START_SECONDS if present is None or present.at_seconds < BUILT_SECONDS else present.at_seconds


class World:
    """One drill while it is played."""

    def __init__(self, script: Script, clock: WorldClock) -> None:
        self._script = script
        self._clock = clock
        self._machine = Machine(script, clock)
        self._person = Person(self._machine, script.household.person_seconds, script.seed)
        self._callers = Callers(script, self._machine, self._person)
        self._weather = Weather(self._machine, self._callers)
        self._enough = asyncio.Event()
        self.watch = self._machine.watch
        self.watch.enough = self._enough.set

    async def live(self) -> None:
        """From the beginning to the end."""
        for happening in self._script.happenings:
            if happening.at_seconds < self._script.seconds:
                self._clock.at(happening.at_seconds, lambda it=happening: self._weather.begin(it))  # type: ignore[misc]
        self._callers.begin()
        if self._script.present is not None:
            await Inheritance(self._script.present, self._machine).hand_over()
            self._person.is_logged_in()
        self._machine.start_process()
        while (left := self._script.seconds - self._clock.elapsed) > LEAST_SECONDS and not self._enough.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(KEEPALIVE_SECONDS, left)):
                    await self._enough.wait()
        self._machine.end_process()
        await self._callers.leave()
        self._person.finish()
        self._machine.finish()

    def seen(self) -> Seen:
        """What it came to."""
        machine, person = self._machine, self._person
        return Seen(
            self._script,
            self.watch,
            machine.sweeps,
            tuple(person.sign_ins),
            tuple(machine.downs),
            tuple(person.logged_out),
        )


__all__ = ["HOUR", "Seen", "World", "play"]
