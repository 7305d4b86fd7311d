"""The way of one account's calls to the API: counted, spaced, and stopped together where the cause is the account's.

Knows the issuer port, the identity and the book. The one invariant: a call is in the ledger on disk before it is made,
and no call is made that a stop, a quota or an account-wide failure forbids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core import quota
from broker.core.failure import after
from broker.core.quota import QuotaRule
from broker.errors import (
    BrokerError,
    GatewayOffline,
    InvalidResponse,
    QuotaExhausted,
    UpstreamError,
    UpstreamRejected,
)
from broker.services.exchange import settings_of

if TYPE_CHECKING:
    from broker.config import AccountConfig, TicketConfig
    from broker.core.callin import IssuedTicket
    from broker.core.failure import Failure
    from broker.core.instant import Instant
    from broker.core.secret import Secret
    from broker.ports import Events, TicketIssuer
    from broker.services.book import Book
    from broker.services.identity import Identity
    from broker.services.timekeeper import Timekeeper

TICKETS_OWN_STATUS = frozenset({400, 406, 430})


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
        self.book = book
        self.made = 0
        self._name = config.name
        self._settings = settings_of(config)
        self._issuer = issuer
        self._identity = identity
        self._timekeeper = timekeeper
        self._events = events

    @property
    def failure(self) -> Failure | None:
        """The failure that holds for every ticket of the account."""
        return self.book.failure

    def adopt(self) -> None:
        """After a start or a reload: a failure that other settings caused is no reason to wait."""
        if self.book.failure is not None:
            self.book.failure = self.book.failure.holds(self._settings)

    def free_in(self, now: Instant, *, prefetch: bool) -> float:
        """Seconds until the next call may be made for this account; 0 now."""
        held = 0.0 if self.failure is None else self.failure.next_attempt_in(now)
        return max(held, quota.free_in(self.book.ledger, self.rule, now, prefetch=prefetch))

    def refusal(self, now: Instant, *, prefetch: bool) -> BrokerError | None:
        """Why no call may be made now; None when one may."""
        if self.failure is not None and self.failure.next_attempt_in(now) > 0:
            return self.failure.error(now)
        seconds = quota.free_in(self.book.ledger, self.rule, now, prefetch=prefetch)
        if seconds <= 0:
            return None
        used = quota.used(self.book.ledger, self.rule, now)
        return QuotaExhausted(
            f"account {self._name}: {used} of {self.rule.daily} calls used; no call for {seconds:.0f} s",
            service="call-in",
            retry_after_seconds=seconds,
            hint="fewer tickets kept warm, or a larger subscription, need fewer calls",
        )

    async def issue(self, ticket: TicketConfig, *, prefetch: bool) -> IssuedTicket:
        """One ticket; a refused token is refreshed once and tried once more. Raises: BrokerError."""
        token = await self._identity.fresh_token()
        try:
            return await self._call(ticket, token.token, prefetch=prefetch)
        except UpstreamRejected as error:
            if not error.token_refused:
                raise
        try:
            token = await self._identity.fresh_token(newer_than=token.generation)
            return await self._call(ticket, token.token, prefetch=prefetch)
        except UpstreamRejected as error:
            if error.token_refused:
                self._hold(error)
            raise

    async def _call(self, ticket: TicketConfig, token: Secret, *, prefetch: bool) -> IssuedTicket:
        now = self._timekeeper.now()
        refusal = self.refusal(now, prefetch=prefetch)
        if refusal is not None:
            raise refusal
        self.book.ledger = quota.recorded(self.book.ledger, now)
        await self.book.commit()
        self.made += 1
        try:
            issued = await self._issuer.issue(ticket.plant_id, ticket.device_id, token)
        except UpstreamError as error:
            if is_account_wide(error):
                self._hold(error)
            raise
        self._timekeeper.hear(issued.server_seconds)
        self.book.failure = None
        return issued

    def _hold(self, error: UpstreamError) -> None:
        now = self._timekeeper.now()
        before = self.book.failure
        self.book.failure = after(
            error, before, now, runway_seconds=None, salt=self._name, circumstances=self._settings
        )
        if isinstance(error, QuotaExhausted):
            seconds = error.retry_after_seconds or self.book.failure.retry.seconds
            self.book.ledger = quota.stopped(self.book.ledger, now, seconds)
            self._events.emit("quota.exhausted", account=self._name, retry_after_seconds=round(seconds))


def is_account_wide(error: UpstreamError) -> bool:
    """Whether the failure would meet every ticket of the account."""
    if isinstance(error, GatewayOffline | InvalidResponse):
        return False
    if isinstance(error, UpstreamRejected):
        return error.status not in TICKETS_OWN_STATUS and not error.token_refused
    return True
