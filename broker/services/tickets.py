"""One shared ticket as its callers meet it: vended at once where it is valid, waited for where it is not, refused.

Knows how it is kept (`Renewal`), no HTTP. The one invariant: a ticket that is valid is handed out whatever the cloud
does.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from broker.core.demand import asked
from broker.core.freshness import Freshness
from broker.errors import BrokerError, Code, RateLimited, ShortValidity, UpstreamUnavailable
from broker.services.page import binding_of
from broker.services.renewal import Renewal

if TYPE_CHECKING:
    from broker.config import TicketConfig
    from broker.core.instant import Instant
    from broker.services.calls import Calls
    from broker.services.page import HeldTicket

REFUSALS = 3  # a ticket that the door refused is fetched anew at most so often in REFUSAL_WINDOW_SECONDS
REFUSAL_WINDOW_SECONDS = 300.0
SAME_REQUEST_SECONDS = 2.0  # requests that follow closer than that teach nothing more


class TicketService(Renewal):
    """Keeps one ticket and hands it out."""

    __slots__ = ("_refusals",)

    def __init__(self, config: TicketConfig, **parts: Any) -> None:
        super().__init__(config, **parts)
        self._refusals: tuple[Instant, ...] = ()

    # start

    def adopt(self) -> None:
        """Use what the book holds: after a start or a reload."""
        self._observe()
        if self.identity.session is not None:
            self.ref.put(self._in_hand())
        if self.page.failure is not None:
            self.ref.fail(self.page.failure.holds(self.calls.settings))
        self._touch(self)

    def reconfigure(self, config: TicketConfig, calls: Calls) -> None:
        """Go on with a new configuration; what was fetched for the same door stays in hand."""
        self.config, self.calls = config, calls
        self.page = self._book.page(config.name, binding_of(config))
        self._seen_generation, self._need = -1, None
        self.look_at_seconds, self.queued = math.inf, False
        self.publication = self._make_publication()
        self.ref.put(None)

    def login_changed(self) -> None:
        """The account has a login, a token, or none any more."""
        if self.identity.session is None and self.page.held:
            self.page.held = ()
            self._book.change(self.name)
            self.ref.put(None)
        else:
            self.ref.notify()
        self._touch(self)

    def forget(self) -> None:
        """The configuration no longer names it: what is under way is not kept, and who watches is told."""
        self.forgotten = True
        self.ref.notify()

    async def withdraw(self) -> None:
        """Remove the published file."""
        if self.publication is not None:
            await self.publication.follow(None)

    # what callers ask

    async def get(
        self, *, min_validity_seconds: float, wait_seconds: float | None, newer_than: int | None
    ) -> HeldTicket:
        """A valid ticket. Raises: Unchanged, BrokerError (why there is none)."""
        now = self._timekeeper.now()
        self._learn(now)
        held = self.ref.usable(now, min_validity_seconds)
        if held is None:
            self._refuse_the_impossible(min_validity_seconds, now)
        elif self.config.warm != "always" and not self.wanted(now):
            self._renew_behind(now)
        if held is None:
            self._touch(self)  # should the attempt fail, the sweep makes the next one
        return await self.ref.get(
            min_validity_seconds=min_validity_seconds, wait_seconds=wait_seconds, newer_than=newer_than
        )

    def _learn(self, now: Instant) -> None:
        if self.config.warm != "adaptive" or now.true_seconds is None:
            return
        last = None if self.page.demand is None else self.page.demand.last
        if last is not None and abs(now.true_seconds - last) < SAME_REQUEST_SECONDS:
            return
        self.page.demand = asked(self.page.demand, now.true_seconds)
        self._book.change(self.name)
        self._touch(self)

    def _renew_behind(self, now: Instant) -> None:
        """Nobody keeps it warm, but somebody asks, and its end is near."""
        stale = self.ref.freshness(now) is Freshness.STALE
        if stale and self.ref.due_in(now) <= 0 and self.calls.gate_in(now, prefetch=True) <= 0:
            self.ref.start()

    def _refuse_the_impossible(self, min_validity_seconds: float, now: Instant) -> None:
        life = self.page.life_seconds
        if life is not None and min_validity_seconds > life:
            raise ShortValidity(
                f"ticket {self.name}: lives {life:.0f} s, asked for {min_validity_seconds:.0f} s",
                available_for_seconds=self.ref.available_for(now),
                hint=f"ask for less than {life:.0f} s",
            )

    async def renew(self, refused_generation: int) -> HeldTicket:
        """The door refused this generation: fetch a newer one unless there is one. Raises: BrokerError."""
        now = self._timekeeper.now()
        newer = self._newer(refused_generation, now)
        if newer is not None:
            return newer
        refusal = None if self.ref.in_flight else self.ref.refusal(now)
        if refusal is not None:
            raise refusal
        if not self.ref.in_flight:
            self._admit_refusal(now)
            self._events.emit("ticket.renewed_after_refusal", ticket=self.name, generation=refused_generation)
        self.ref.waiting += 1
        try:
            await asyncio.shield(self.ref.start())
        finally:
            self.ref.waiting -= 1
        now = self._timekeeper.now()
        newer = self._newer(refused_generation, now)
        if newer is not None:
            return newer
        raise self.ref.refusal(now) or self.pending_reason(now)

    def _newer(self, generation: int, now: Instant) -> HeldTicket | None:
        held = self.ref.usable(now)
        return held if held is not None and held.generation > generation else None

    def _admit_refusal(self, now: Instant) -> None:
        recent = [at for at in self._refusals if (now.since(at) or 0.0) < REFUSAL_WINDOW_SECONDS]
        if len(recent) >= REFUSALS:
            wait = REFUSAL_WINDOW_SECONDS - (now.since(recent[0]) or 0.0)
            raise RateLimited(
                f"ticket {self.name}: fetched anew {REFUSALS} times in {REFUSAL_WINDOW_SECONDS:.0f} s already",
                service="broker",
                retry_after_seconds=max(1.0, wait),
                hint="if the door refuses fresh tickets, the device or the clock of the SDK process is wrong",
            )
        self._refusals = (*recent, now)

    # what is told

    def code(self, now: Instant) -> Code | None:
        """Why there is no ticket; None where there is one or nobody has asked for one."""
        error = self.why_unavailable(now)
        return None if error is None else error.code

    def why_unavailable(self, now: Instant) -> BrokerError | None:
        """The reason why there is no valid ticket; None where there is one, or nobody has asked."""
        if self.ref.usable(now) is not None:
            return None
        refusal = self.ref.refusal(now)
        if refusal is not None:
            return refusal
        if self.ref.failure is not None:
            return self.ref.failure.error(now)
        prefetching = None if self.urgent(now) else self._prefetch_obstacle(now)
        if prefetching is not None:
            return prefetching
        return self.pending_reason(now) if self.wanted(now) or self.ref.in_flight else None

    def pending_reason(self, now: Instant) -> BrokerError:
        """Why there is nothing to hand out although nothing has failed."""
        if self.ref.value is not None or self.ref.in_flight:
            return self.ref.pending_reason(now)
        return UpstreamUnavailable(
            f"ticket {self.name}: none is held; the next attempt is near", service="broker", retry_after_seconds=1.0
        )
