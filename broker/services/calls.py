"""The way of one account's calls to the API: counted, spaced, and stopped together where the cause is the account's.

Knows the issuer port, the identity and the book. The one invariant: where there is a quota, a call is in the ledger on
disk before it is made, and no call is made that a stop, a quota or an account-wide failure forbids.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from broker.core import quota
from broker.core.callin import FEWER_CALLS
from broker.core.failure import after
from broker.core.quota import QuotaRule
from broker.core.words import counted, duration
from broker.errors import (
    BrokerError,
    GatewayOffline,
    InvalidResponse,
    QuotaExhausted,
    RateLimited,
    TokenRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
    UserActionRequired,
)
from broker.services.exchange import settings_of

if TYPE_CHECKING:
    from broker.config import AccountConfig, TicketConfig
    from broker.core.callin import IssuedTicket
    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.core.session import HeldToken
    from broker.core.vended import Lease
    from broker.ports import Events, TicketIssuer
    from broker.services.book import Book
    from broker.services.identity import Identity
    from broker.services.timekeeper import Timekeeper

ANSWER_SECONDS = 1.0  # beyond the API's own timeouts, before a waiting caller is told that it takes long
TICKETS_OWN_STATUS = frozenset({400, 406, 408, 430, 486})  # wrong or slow for this device, not for its account
PREFETCHES_AT_ONCE = 8
CALM_PART = 0.9  # of the prefetches, below which the reserve is no longer near: calls leave the window one by one
TICKETS_A_PREFETCH = 50  # with many tickets one more at once for each so many, so that their saves are shared


class NotCalled(Exception):
    """No call was made, or its failure is the account's alone; `cause` says why, `obstacle` too while it holds."""

    def __init__(self, cause: BrokerError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class Calls:
    """Makes the calls of one account."""

    def __init__(
        self,
        config: AccountConfig,
        *,
        issuer: TicketIssuer,
        identity: Identity,
        book: Book,
        timekeeper: Timekeeper,
        events: Events,
    ) -> None:
        api = config.api
        self.rule = QuotaRule(api.daily_quota, min(api.quota_reserve, api.daily_quota), api.quota_reset)
        self.patience_seconds = api.connect_timeout_seconds + api.timeout_seconds + ANSWER_SECONDS
        self.book = book
        self.now = timekeeper.now
        self.made = 0
        self.flying = 0
        self._lease: Lease | None = None
        self._name = config.name
        self.settings = settings_of(config)
        self._issuer = issuer
        self._identity = identity
        self._timekeeper = timekeeper
        self._events = events
        self._refused: set[str] = set()  # tickets for which a token was forced to be new, until one is given
        self._forced: int | None = None  # the generation of the last token that was forced to be new
        self._reserve_told = False

    # what holds calls back

    @property
    def failure(self) -> Failure | None:
        """The failure that holds for every ticket of the account."""
        return self.book.failure

    def adopt(self) -> None:
        """After a start or a reload: a failure that other settings caused is no reason to wait."""
        if self.book.failure is not None:
            self.book.failure = self.book.failure.holds(self.settings)

    def gate_in(self, now: Instant, *, prefetch: bool) -> float:
        """Seconds until a call may be made; 0 now, infinite while only an event (a login, an answer) can open it."""
        if prefetch and self.flying >= self._at_once():
            return math.inf
        if prefetch and self._identity.token.in_flight and self._timekeeper.in_doubt(self.book.ledger.anchor):
            return math.inf  # after a boot: the answer under way tells what time it is, and so how old all is
        if not self._has_token(now) and (prefetch or self._token_trouble(now) is not None):
            return math.inf
        held = 0.0 if self.failure is None else self.failure.next_attempt_in(now)
        return max(held, quota.free_in(self.book.ledger, self.rule, now, prefetch=prefetch))

    def _at_once(self) -> int:
        """How many prefetches may be under way; after a failure of the account one, to see whether it is over."""
        return 1 if self.failure is not None else PREFETCHES_AT_ONCE + len(self.book.pages) // TICKETS_A_PREFETCH

    def obstacle(self, now: Instant, *, prefetch: bool = False) -> BrokerError | None:
        """Why no call may be made now, for a reason that is the account's; None when one may."""
        trouble = self._token_trouble(now)
        if trouble is not None:
            return trouble
        if self.failure is not None and self.failure.next_attempt_in(now) > 0:
            return self.failure.error(now)
        seconds = quota.free_in(self.book.ledger, self.rule, now, prefetch=prefetch)
        if seconds <= 0:
            return None
        return QuotaExhausted(
            f"account {self._name}: {self._used_words(now)}; no call for {duration(seconds)}",
            service="call-in",
            retry_after_seconds=seconds,
            hint=FEWER_CALLS,
        )

    def _used_words(self, now: Instant) -> str:
        """Whose word it is: after the cloud's own, what was called before is forgiven and our count says nothing."""
        if quota.stopped_for(self.book.ledger, now) > 0:
            return "the calls are used up, the cloud says"
        return f"{quota.used(self.book.ledger, self.rule, now)} of {counted(self.rule.daily, 'call')} used"

    def _has_token(self, now: Instant) -> bool:
        """Whether there is a token to call with; asked many times a call, so the answer is kept while it holds."""
        if self._lease is None or now.boot_seconds >= self._lease.until_boot_seconds:
            self._lease = self._identity.token.lease(now)
        return self._lease is not None or self._identity.token.usable(now) is not None

    def _token_trouble(self, now: Instant) -> BrokerError | None:
        """Why there is no token to call with, and none to be hoped for at once."""
        token = self._identity.token
        if self._has_token(now) or token.in_flight:
            return None
        if not self._identity.usable:
            return self._identity.why_no_login()
        failure = token.failure
        return failure.error(now) if failure is not None and failure.next_attempt_in(now) > 0 else None

    def watch(self, now: Instant) -> None:
        """Tell once when a stop is over, and when only the reserve is left."""
        ledger = self.book.ledger
        used = quota.used(ledger, self.rule, now)
        if ledger.stop is not None and quota.stopped_for(ledger, now) <= 0:
            self.book.ledger = quota.resumed(ledger)
            self.book.change()
            self._events.emit("quota.replenished", account=self._name, used=used, quota=self.rule.daily)
        prefetches = self.rule.prefetches
        at_reserve = prefetches is not None and used >= prefetches > 0
        if at_reserve and not self._reserve_told:
            wait = quota.free_in(ledger, self.rule, now, prefetch=True)
            facts = {"used": used, "quota": self.rule.daily, "reserve": self.rule.reserve}
            self._events.emit("quota.reserve_reached", account=self._name, retry_after_seconds=round(wait), **facts)
        self._reserve_told = at_reserve or (self._reserve_told and used > (prefetches or 0) * CALM_PART)

    # one call

    async def issue(self, ticket: TicketConfig, *, prefetch: bool, runway_seconds: float) -> IssuedTicket:
        """One ticket; a refused token is refreshed once and tried once more. Raises: NotCalled, BrokerError."""
        self.flying += 1
        try:
            return await self._issue(ticket, prefetch=prefetch, runway_seconds=runway_seconds)
        finally:
            self.flying -= 1

    async def _issue(self, ticket: TicketConfig, *, prefetch: bool, runway_seconds: float) -> IssuedTicket:
        token = await self._token(None)
        try:
            issued = await self._call(ticket, token, prefetch=prefetch, runway_seconds=runway_seconds)
        except TokenRefused as refused:
            if not self._may_force(ticket, token):
                raise
            try:
                token = await self._token(token.generation)
            except NotCalled:  # no newer token: it is the 401 that must be waited for, however soon a refresh may be
                raise refused from None
            self._refused.add(ticket.name)
            self._forced = token.generation
            issued = await self._call(ticket, token, prefetch=prefetch, runway_seconds=runway_seconds)
        self._refused.discard(ticket.name)
        return issued

    def _may_force(self, ticket: TicketConfig, token: HeldToken) -> bool:
        """Whether a refused token is worth a forced refresh: once a ticket, and not a token that was forced itself."""
        return ticket.name not in self._refused and token.generation != self._forced

    async def _token(self, newer_than: int | None) -> HeldToken:
        held = self._identity.token.value
        if newer_than is None and held is not None and self._has_token(self._timekeeper.now()):
            return held
        try:
            return await self._identity.fresh_token(newer_than=newer_than)
        except BrokerError as error:
            raise NotCalled(error) from None

    async def _call(
        self, ticket: TicketConfig, token: HeldToken, *, prefetch: bool, runway_seconds: float
    ) -> IssuedTicket:
        now = self._timekeeper.now()
        obstacle = self.obstacle(now, prefetch=prefetch)
        if obstacle is not None:
            raise NotCalled(obstacle)
        self.book.ledger = quota.recorded(self.book.ledger, now)
        if self.rule.daily:  # without a quota nothing is lost with a count: it is saved with what the call brings
            await self.book.commit()
        self.made += 1
        try:
            issued = await self._issuer.issue(ticket.plant_id, ticket.device_id, token.token)
        except UpstreamError as error:
            self._note(error, runway_seconds)
            if is_accounts_alone(error):
                raise NotCalled(error) from None
            raise
        self._timekeeper.hear(issued.server_seconds)
        self.book.failure = None
        return issued

    def _note(self, error: UpstreamError, runway_seconds: float) -> None:
        if not is_account_wide(error):
            return
        now, before = self._timekeeper.now(), self.book.failure
        failure = self.book.failure = after(
            error, before, now, runway_seconds=runway_seconds, salt=self._name, circumstances=self.settings
        )
        if isinstance(error, QuotaExhausted):
            self.stop(failure.retry.seconds)
        self.book.change()

    def stop(self, seconds: float | None) -> None:
        """The cloud said that the quota is used up: no call for so long; None: it did not say for how long."""
        if seconds is None:
            return
        now = self._timekeeper.now()
        used = quota.used(self.book.ledger, self.rule, now)
        self.book.ledger = quota.stopped(self.book.ledger, now, seconds)
        self.book.change()
        facts = {"used": used, "quota": self.rule.daily}
        self._events.emit("quota.exhausted", account=self._name, retry_after_seconds=round(seconds), **facts)


def is_account_wide(error: UpstreamError) -> bool:
    """Whether the failure would meet every ticket of the account."""
    if isinstance(error, GatewayOffline | InvalidResponse | TokenRefused):
        return False
    return error.status not in TICKETS_OWN_STATUS


def is_accounts_alone(error: UpstreamError) -> bool:
    """Whether the failure says nothing at all about the ticket that met it."""
    if isinstance(error, UpstreamUnavailable):
        return False  # the network or the service, and perhaps only for this device
    return isinstance(error, QuotaExhausted | RateLimited | UserActionRequired | UpstreamRejected) and is_account_wide(
        error
    )
