"""One account: its login, and its token kept fresh.

Knows the worker and the journal, no provider's details; the steps themselves are in `exchange`. The one invariant:
a login changes only by what the journal has accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.core.failure import NEVER_SECONDS, Failure, after
from broker.core.freshness import Windows, draw, id_token_windows
from broker.core.instant import Span
from broker.core.runway import login_left, warning_due
from broker.core.session import HeldToken, Phase, Session
from broker.errors import (
    BadRequest,
    BrokerError,
    InvalidResponse,
    LoginRequired,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
)
from broker.services.exchange import Exchange, binding_of, delayed, interrupted, salt_of
from broker.services.journal import Journal, LoginGone
from broker.services.refreshable import Refreshable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from broker.config import AccountConfig
    from broker.core.instant import Instant
    from broker.core.tokens import PendingLogin
    from broker.ports import Events, Worker
    from broker.services.timekeeper import Timekeeper

PATIENCE_SECONDS = 30.0
REOPEN_SECONDS = 5.0  # how often a file that cannot be used is looked at again


class Identity:
    """Keeps one account's login alive and its token fresh."""

    def __init__(
        self,
        config: AccountConfig,
        *,
        exchange: Exchange,
        journal: Journal,
        worker: Worker,
        exchanges: Worker,
        timekeeper: Timekeeper,
        events: Events,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
    ) -> None:
        self.config = config
        self._binding = binding_of(config)
        self._seen_windows: tuple[HeldToken, float | None, Windows] | None = None
        self.exchange = exchange
        self.journal = journal
        self.blocked: StoreUnavailable | None = None
        self.damage: StoreDamaged | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._worker = worker
        self._exchanges = exchanges
        self._timekeeper = timekeeper
        self._events = events
        self._damage_told = self._put_back_told = self._troubled = False
        self._reopened: Instant | None = None
        self.token: Refreshable[HeldToken] = Refreshable(
            self,
            now=timekeeper.now,
            spawn=spawn,
            patience_seconds=PATIENCE_SECONDS,
        )

    # what is there

    @property
    def what(self) -> str:
        """What callers are told of."""
        return f"account {self.name}"

    @property
    def name(self) -> str:
        """The account's name in the configuration."""
        return self.config.name

    @property
    def session(self) -> Session | None:
        """The present login, if it was made for the application that is configured."""
        session = self.journal.session
        return session if session is not None and session.binding == self._binding else None

    @property
    def usable(self) -> bool:
        """Whether a refresh can still be hoped for."""
        session = self.session
        return session is not None and session.token_to_send() is not None

    def why_no_login(self) -> BrokerError:
        """The reason why a person (or the operator) must act before tokens can be had."""
        if self.blocked is not None:
            return self.blocked
        session = self.session
        if session is not None and session.refresh_token is None:
            why = "the login has ended: the provider gave no refresh token"
        elif session is not None:
            why = f"the login has ended: {session.ended or 'it cannot be refreshed'}"
        elif self.journal.session is not None:
            why = "the configuration names another application than the login was made for"
        elif self.damage is not None:
            why = self.damage.message
        else:
            why = "not logged in"
        return LoginRequired(f"account {self.name}: {why}", hint=f"run: eliot-broker login {self.name}")

    def login_left(self, now: Instant) -> float | None:
        """Seconds for which the login can still be refreshed; None where nobody has told."""
        session = self.session
        return 0.0 if session is None else login_left(session, now, self.config.oauth.sliding_window_seconds)

    # start

    def open(self) -> None:
        """Read the login from disk. Blocking. A file that cannot be used leaves the account without a login."""
        blocked: StoreUnavailable | None = None
        try:
            self.journal.open()
        except StoreDamaged as error:
            self.damage = error
        except StoreUnavailable as error:
            blocked = error
        self.blocked = blocked
        for moment in self._moments():
            self._timekeeper.learn(moment)

    def _moments(self) -> list[Instant]:
        """When the journal was saved, which tells no time if no clock could be believed, and when its id token came."""
        session = self.session
        came = None if session is None or session.id_token is None else session.id_token.life.span.start
        return [moment for moment in (self.journal.saved, came) if moment is not None]

    def adopt(self) -> None:
        """Use what the journal holds, in the loop: after `open`, after a login, after a reload."""
        self._tell_trouble()
        session = self.session
        if session is None:
            self.token.put(None)
            return
        self.token.put(self._token_for_calls(session))
        if session.phase is Phase.ATTEMPTING:  # under way, through a reload: its end will tell
            return
        failure = None if session.failure is None else session.failure.holds(self.exchange.settings)
        if session.phase is Phase.AMBIGUOUS:
            failure = self._rested(session)
        self.token.fail(failure)

    def _rested(self, session: Session) -> Failure:
        """The old request may still be at work: the same token is not sent again at once, whatever the clocks say."""
        now, rest = self._timekeeper.now(), self.exchange.rest_seconds
        failure = session.failure or after(
            interrupted(self.name), None, now, runway_seconds=None, salt=salt_of(session)
        )
        return failure if failure.next_attempt_in(now) >= rest else replace(failure, retry=Span(now, rest), told=True)

    def _tell_trouble(self) -> None:
        """Tell once when the file of this login begins to fail, and once when it no longer does."""
        document, trouble = self.journal.document, self.blocked or self.journal.trouble
        if self.damage is not None and not self._damage_told:
            self._damage_told = True
            self._events.emit("store.damaged", document=document, account=self.name, detail=self.damage.message)
        if trouble is not None and not self._troubled:
            self._events.emit("store.unavailable", document=document, account=self.name, detail=trouble.message)
        if trouble is None and self._troubled:
            self._events.emit("store.recovered", document=document, account=self.name)
        self._troubled = trouble is not None
        if self.journal.put_back is not None and not self._put_back_told:
            self._put_back_told = True
            detail = f"this looks like a restored backup: {self.journal.put_back}"
            self._events.emit("login.restored", account=self.name, detail=detail)

    def reconfigure(self, config: AccountConfig, exchange: Exchange) -> None:
        """Go on with a new configuration, the same journal and, where it fits, the same login."""
        self.config, self.exchange = config, exchange
        self._binding = binding_of(config)
        self.adopt()

    # the login

    async def begin_login(self) -> PendingLogin:
        """Make an authorization request. Raises: BrokerError."""
        if self.blocked is not None:
            raise self.blocked
        return await self._exchanges.run(self.exchange.begin)

    async def finish_login(self, pending: PendingLogin, found: dict[str, str]) -> None:
        """Exchange the code, verify, save, and only then use the new login. Raises: BrokerError."""
        try:
            epoch = self.journal.epoch
            session = await self._exchanges.run(lambda: self.exchange.login(pending, found, epoch=epoch))
        except LoginGone:
            raise BadRequest(f"account {self.name}: the login was ended while it was completed") from None
        self.damage = None
        self.adopt()
        self._events.emit("login.completed", account=self.name, subject=session.display_name or session.subject)
        self.on_change()

    async def logout(self) -> None:
        """Drop the login from disk and memory; saying it twice is fine. Raises: StoreUnavailable."""
        if self.blocked is not None:
            raise self.blocked
        await self._worker.run(lambda: self.journal.replace(None))
        self.damage = None
        self.token.put(None)
        self._events.emit("logout.done", account=self.name)
        self.on_change()

    # the refresh

    async def refresh_now(self) -> None:
        """One attempt now: over our own backoff, never over what the cloud told us. Raises: BrokerError."""
        if not self.usable:
            raise self.why_no_login()
        failure, now = self.token.failure, self._timekeeper.now()
        if failure is not None and failure.told and failure.next_attempt_in(now) > 0:
            raise failure.error(now)
        await asyncio.shield(self.token.start())
        self._raise_failure()

    async def fresh_token(self, *, newer_than: int | None = None) -> HeldToken:
        """The token that the API is called with, from a refresh if need be. Raises: BrokerError."""
        now = self._timekeeper.now()
        token = self.token.usable(now)
        if token is not None and token.generation != newer_than:
            return token
        failure = self.token.failure
        if not self.usable:
            raise self.why_no_login()
        if failure is not None and not self.token.in_flight and failure.next_attempt_in(now) > 0:
            raise failure.error(now)
        await asyncio.shield(self.token.start())
        token = self.token.usable(self._timekeeper.now())
        if token is not None and token.generation != newer_than:
            return token
        self._raise_failure()
        raise InvalidResponse(f"account {self.name}: the refresh brought no usable token", service="token endpoint")

    def _raise_failure(self) -> None:
        if not self.usable:
            raise self.why_no_login()
        if self.token.failure is not None:
            raise self.token.failure.error(self._timekeeper.now())

    async def obtain(self) -> None:
        session = self.session
        sent = None if session is None else session.token_to_send()
        if session is None or sent is None:
            return
        runway = self.token.remaining(self._timekeeper.now())
        try:
            await self._exchanges.run(lambda: self.exchange.refresh(session, sent, runway))
        except LoginGone:
            self._events.emit("login.dropped", account=self.name, detail="the login changed while it was refreshed")
        except BrokerError as error:
            self._note_failure(error)
        else:
            self.adopt()
            self._events.emit("id_token.refreshed", account=self.name, generation=self._generation())
            if session.warned and self.session is not None and not self.session.warned:
                left = self.login_left(self._timekeeper.now())
                self._events.emit(
                    "login.renewed", account=self.name, login_left_seconds=None if left is None else round(left)
                )
        self.on_change()  # good or bad, the flight's end brings a sweep

    def _generation(self) -> int:
        return 0 if self.token.value is None else self.token.value.generation

    def _note_failure(self, error: BrokerError) -> None:
        self._tell_trouble()
        session, before, now = self.session, self.token.failure, self._timekeeper.now()
        noted = None if session is None or isinstance(error, StoreError) else session.failure
        failure = noted or after(error, before, now, runway_seconds=self.token.remaining(now), salt=self.name)
        if noted is None and self.usable:  # the disk refused the intent: once the token is gone it goes without
            seconds = min(failure.retry.seconds, self.token.remaining(now))
            failure = replace(failure, retry=Span(now, seconds))
        if not self.usable:
            failure = delayed(failure, NEVER_SECONDS)
        self.token.fail(failure)
        if before is None or before.code is not failure.code:
            name = "id_token.refresh_ambiguous" if error.ambiguous else "id_token.refresh_failed"
            wait = round(failure.next_attempt_in(now))
            self._events.emit(
                name, account=self.name, code=failure.code.value, detail=failure.message, next_attempt_seconds=wait
            )
        if session is not None and not self.usable:
            self._events.emit("login.required", account=self.name, detail=self.why_no_login().message)

    # the sweep

    def due_in(self, now: Instant) -> float:
        """Seconds until a refresh should start, or a file be looked at again; infinite where neither can."""
        if self.blocked is not None:
            return REOPEN_SECONDS
        if not self.usable:
            return math.inf
        if not self.token.in_flight and self._is_urgent():
            return 0.0 if self.token.failure is None else self.token.failure.next_attempt_in(now)
        return self.token.due_in(now)

    def _is_urgent(self) -> bool:
        """An interrupted refresh to be repeated (some providers forgive it for a minute), or a life in doubt."""
        session, held = self.session, self.token.value
        if session is not None and session.phase is Phase.AMBIGUOUS:
            return True
        return held is not None and self._timekeeper.in_doubt(held.life.span.start)

    async def maintain(self, now: Instant) -> None:
        """Start what is due, save what could not be saved, read what could not be read, warn of an end."""
        if self.blocked is not None and (now.since(self._reopened or now) or math.inf) >= REOPEN_SECONDS:
            await self._reopen(now)
        if self.usable and self.due_in(now) <= 0:
            self.token.start()
        if self.journal.unsaved:
            with contextlib.suppress(StoreUnavailable):  # told already, shown in status, tried again at the next sweep
                await self._worker.run(self.journal.flush)
        self._tell_trouble()
        await self._warn(now)

    async def _reopen(self, now: Instant) -> None:
        """A file that was refused may be readable by now: the mode is mended, the right version is back."""
        self._reopened = now
        await self._worker.run(self.open)
        if self.blocked is None:
            self.adopt()
            self.on_change()

    async def _warn(self, now: Instant) -> None:
        session = self.session
        warning = None if session is None else warning_due(session, now, self.config.oauth.sliding_window_seconds)
        if session is not None and warning is not None:
            name, left = warning
            await self._worker.run(lambda: self.journal.warned(session.login_id, name))
            self._events.emit("login.ending", account=self.name, threshold=name, login_left_seconds=round(left))

    def _token_for_calls(self, session: Session) -> HeldToken | None:
        return session.access_token if self.config.api.token == "access_token" else session.id_token

    def obstacle(self, now: Instant) -> BrokerError | None:  # noqa: ARG002 - the port
        """Nothing beyond the token's own failure."""
        return None

    def windows(self, value: HeldToken) -> Windows:
        session = self.session
        life = None if session is None or session.refresh_token_life is None else session.refresh_token_life.seconds
        seen = self._seen_windows
        if seen is None or seen[0] is not value or seen[1] != life:  # asked many times a sweep
            windows = id_token_windows(value.life, refresh_token_seconds=life, jitter=draw(self.name, value.generation))
            seen = self._seen_windows = (value, life, windows)
        return seen[2]
