"""Refreshable: a value that expires, and how to replace it. The id token is one, each ticket is one.

Knows no cloud and no HTTP. One flight at a time; waiters share it; a waiter who leaves does not stop it. The one
invariant: a valid value is served whatever happens to the flight behind it.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from broker.core.freshness import Freshness, Windows, freshness
from broker.core.vended import Lease
from broker.errors import BrokerError, ClockUnsynchronized, Remedy, ShortValidity, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from broker.core.failure import Failure
    from broker.core.instant import Instant, Lifetime


class Expiring(Protocol):
    """What a Refreshable holds."""

    @property
    def life(self) -> Lifetime: ...
    @property
    def generation(self) -> int: ...


V = TypeVar("V", bound=Expiring)
V_contra = TypeVar("V_contra", bound=Expiring, contravariant=True)
R = TypeVar("R")


class Owner(Protocol[V_contra]):
    """Whose value it is: `what` it is called, how it is replaced, when, and what forbids it."""

    @property
    def what(self) -> str: ...
    async def obtain(self) -> None:
        """Make one attempt and call `put` or `fail`."""
        ...

    def windows(self, value: V_contra) -> Windows: ...
    def obstacle(self, now: Instant) -> BrokerError | None:
        """Why no attempt may be made now, beyond this value's own failure."""
        ...


class Unchanged(Exception):
    """The generation that the caller holds is still the newest (304)."""


class Refreshable(Generic[V]):
    """Holds one value, judges it, and has its owner replace it, one flight at a time."""

    __slots__ = (
        "_changed", "_ended", "_flight", "_lease", "_now", "_owner", "_patience_seconds", "_spawn", "failure", "value",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner[V],
        *,
        now: Callable[[], Instant],
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        patience_seconds: float,
    ) -> None:
        """`patience_seconds` is the default wait for an attempt."""
        self.value: V | None = None
        self.failure: Failure | None = None
        self.waiting = 0  # callers for whom there is nothing valid
        self._now = now
        self._spawn = spawn
        self._owner = owner
        self._patience_seconds = patience_seconds
        self._flight: asyncio.Task[None] | None = None
        self._ended = 0
        self._lease: Lease | None = None
        self._changed: asyncio.Event | None = None

    # what is there

    def freshness(self, now: Instant) -> Freshness:
        """How good the present value is; without one EXPIRED."""
        if self.value is None:
            return Freshness.EXPIRED
        return freshness(self.value.life, self._owner.windows(self.value), now)

    def remaining(self, now: Instant) -> float:
        """Seconds that the present value may still be handed out; 0 where there is none or no clock can tell."""
        if self.value is None:
            return 0.0
        left = self.value.life.remaining(now)
        return 0.0 if left is None else max(0.0, left - self._owner.windows(self.value).mandatory_seconds)

    def available_for(self, now: Instant) -> float:
        """Seconds of validity that a caller would get now; 0 where nothing would be handed out."""
        value = self.usable(now)
        return 0.0 if value is None else value.life.remaining(now) or 0.0

    def usable(self, now: Instant, min_validity_seconds: float = 0.0) -> V | None:
        """The value, if it may be handed out with at least so much left."""
        if self.value is None or self.freshness(now) not in {Freshness.FRESH, Freshness.STALE}:
            return None
        left = self.value.life.remaining(now)
        return self.value if left is not None and left >= min_validity_seconds else None

    @property
    def in_flight(self) -> bool:
        """Whether an attempt is under way."""
        return self._flight is not None and not self._flight.done()

    def due_in(self, now: Instant) -> float:
        """Seconds until the next attempt should start; 0 now, infinite while one is under way."""
        if self.in_flight:
            return math.inf
        return max(self.renewal_in(now), 0.0 if self.failure is None else self.failure.next_attempt_in(now))

    def renewal_in(self, now: Instant) -> float:
        """Seconds until the value's advisory window begins, failures aside."""
        if self.value is None:
            return 0.0
        left = self.value.life.remaining(now)
        return 0.0 if left is None else max(0.0, left - self._owner.windows(self.value).advisory_seconds)

    def lease(self, now: Instant) -> Lease | None:
        """Leave to hand out the present value until it may no longer be, or until the next `put`.

        None where there is none to hand out, or one whose age this boot's clock alone cannot tell.
        """
        value = self.usable(now)
        if value is None or value.life.span.start.boot_id != now.boot_id:
            return None
        if self._lease is None:
            self._lease = Lease(now.boot_seconds + self.remaining(now))
        return self._lease

    # what changes it

    def put(self, value: V | None) -> None:
        """Take over a new value (None: there is none any more); failures are over."""
        self.value = value
        self.failure = None
        self.end_lease()
        self.notify()

    def end_lease(self) -> None:
        """What was leased must be asked for again."""
        if self._lease is not None:
            self._lease.end()
            self._lease = None

    def fail(self, failure: Failure | None) -> None:
        """Note a failed attempt; the value stays."""
        self.failure = failure
        self.notify()

    def notify(self) -> None:
        """Wake everybody who waits for a change."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def changed(self) -> asyncio.Event:
        """An event that is set at the next change."""
        if self._changed is None:
            self._changed = asyncio.Event()
        return self._changed

    def start(self) -> asyncio.Task[None]:
        """Start an attempt, or join the one under way."""
        if self._flight is None or self._flight.done():
            self._flight = self._spawn(self._fly())
        return self._flight

    async def _fly(self) -> None:
        try:
            await self._owner.obtain()
        finally:
            self._flight = None
            self._ended += 1
            self.notify()

    # what callers ask

    async def get(
        self, *, min_validity_seconds: float = 0.0, wait_seconds: float | None = None, newer_than: int | None = None
    ) -> V:
        """A usable value: at once where there is one, else from the flight, within the wait.

        Raises: Unchanged, ShortValidity, ClockUnsynchronized, BrokerError (the reason why there is none).
        """
        value = self.usable(self._now(), min_validity_seconds)
        if value is not None and value.generation != newer_than:
            return value
        if value is not None and not wait_seconds:
            raise Unchanged
        if value is None:
            self._refuse_the_impossible(min_validity_seconds)
        return await self._await_value(value is None, min_validity_seconds, wait_seconds, newer_than)

    def _refuse_the_impossible(self, min_validity_seconds: float) -> None:
        held = self.value
        if held is not None and min_validity_seconds > held.life.span.seconds:
            left = self.available_for(self._now())
            life = round(held.life.span.seconds)
            raise ShortValidity(
                f"{self._owner.what}: lives {life} s, asked for {min_validity_seconds:.0f} s",
                available_for_seconds=left,
                hint=f"ask for less than {life} s",
            )

    async def _await_value(
        self, missing: bool, min_validity_seconds: float, wait_seconds: float | None, newer_than: int | None
    ) -> V:
        deadline = asyncio.get_running_loop().time() + (
            self._patience_seconds if wait_seconds is None else wait_seconds
        )
        ended = self._ended
        if missing and self._attempt_is_allowed():
            self.start()
        while True:
            changed = self.changed()
            now = self._now()
            value = self.usable(now, min_validity_seconds)
            if value is not None and value.generation != newer_than:
                return value
            if value is None:
                self._refuse_the_hopeless(now, wait_seconds, min_validity_seconds, tried=self._ended > ended)
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise self._reason(now, value, min_validity_seconds)
            await self._wait(changed, left, counted=missing)

    async def _wait(self, changed: asyncio.Event, seconds: float, *, counted: bool) -> None:
        self.waiting += counted
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return
        finally:
            self.waiting -= counted

    def _attempt_is_allowed(self) -> bool:
        return self.in_flight or self.refusal(self._now()) is None

    def refusal(self, now: Instant) -> BrokerError | None:
        """Why no attempt may be made now: an obstacle, or a failure whose time is not over; None when one may."""
        obstacle = self._owner.obstacle(now)
        if obstacle is not None or self.failure is None or self.failure.next_attempt_in(now) <= 0:
            return obstacle
        return self.failure.error(now)

    def _refuse_the_hopeless(
        self, now: Instant, wait_seconds: float | None, min_validity_seconds: float, *, tried: bool
    ) -> None:
        """End early where waiting cannot help: a person must act, or the failure is known and nobody asked to wait.

        Likewise where a value has just come that does not live as long as was asked.
        """
        if self.in_flight:
            return
        reason = self._known_reason(now)
        short = tried and reason is None and self.remaining(now) > 0
        if short or (reason is not None and (reason.remedy is not Remedy.RETRY or not wait_seconds)):
            raise self._reason(now, None, min_validity_seconds)

    def _known_reason(self, now: Instant) -> BrokerError | None:
        refusal = self.refusal(now)
        return refusal if refusal is not None or self.failure is None else self.failure.error(now)

    def _reason(self, now: Instant, value: V | None, min_validity_seconds: float) -> Exception:
        if value is not None:
            return Unchanged()
        left = self.available_for(now)
        if left > 0:
            asked = f"{self._owner.what}: {left:.0f} s left, asked for {min_validity_seconds:.0f} s"
            return ShortValidity(asked, available_for_seconds=left)
        return self._known_reason(now) or self.pending_reason(now)

    def pending_reason(self, now: Instant) -> BrokerError:
        """Why there is nothing to hand out although nothing has failed."""
        if self.value is not None and self.freshness(now) is Freshness.UNKNOWN:
            return ClockUnsynchronized(f"{self._owner.what}: no clock can be believed yet, so its age cannot be judged")
        return UpstreamUnavailable(
            f"{self._owner.what}: no answer yet; the attempt goes on", service="broker", retry_after_seconds=1.0
        )
