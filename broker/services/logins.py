"""The logins under way: one per account, for ten minutes, tied to its redirect by the state.

Knows the identities and a window to await the redirect in, no HTTP. The one invariant: whatever comes in for a
pending login, the present login of the account stays as it is until the new one is on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from broker.core.instant import Span
from broker.core.redirect import check_state, parameters
from broker.errors import BadRequest, BrokerError, LoginRequired, ResponseMismatch, StoreError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.core.instant import Instant
    from broker.core.secret import Secret
    from broker.core.tokens import PendingLogin
    from broker.ports import Events
    from broker.services.identity import Identity
    from broker.services.timekeeper import Timekeeper

PENDING_SECONDS = 600.0


class LoginWindow(Protocol):
    """Where redirects are awaited while some login is pending."""

    async def open(self, pending: Sequence[PendingLogin]) -> str | None:
        """Await these logins' redirects (none: close); what keeps it from listening, for the person to know."""
        ...

    def short_url(self, login: PendingLogin) -> str | None:
        """A short address on this machine that leads to the login's own; None: nothing listens."""
        ...


@dataclass(frozen=True, slots=True)
class Pending:
    """A login under way and how long it stays so."""

    login: PendingLogin
    span: Span
    expires_at: int


class Logins:
    """Begins and completes logins."""

    def __init__(
        self, identities: Mapping[str, Identity], *, timekeeper: Timekeeper, events: Events, window: LoginWindow
    ) -> None:
        self.identities = identities
        self._timekeeper = timekeeper
        self._events = events
        self._window = window
        self._pending: dict[str, Pending] = {}
        self._completing: dict[str, Pending] = {}  # answered, its code not exchanged yet: no second answer is taken
        self._ended: dict[str, BrokerError] = {}  # why the last one came to nothing
        self.listen_problem: str | None = None

    def pending(self, name: str) -> Pending | None:
        """The login under way of this account, awaited or being completed: one that is neither has ended."""
        return self._completing.get(name) or self._awaited(name)

    def _awaited(self, name: str) -> Pending | None:
        """The login of this account that an answer may still complete."""
        record = self._pending.get(name)
        return record if record is not None and self._left(record, self._timekeeper.now()) > 0 else None

    def ended(self, name: str) -> BrokerError | None:
        """Why the last login that was begun came to nothing; None: one is under way, succeeded, or was never begun."""
        return None if self.pending(name) is not None else self._ended.get(name)

    def short_url(self, pending: Pending) -> str | None:
        """A short address on this machine that leads to where a login begins; None: nothing listens."""
        return self._window.short_url(pending.login)

    async def begin(self, identity: Identity) -> Pending:
        """Begin a login; an earlier one of this account is void. Raises: BrokerError."""
        login = await identity.begin_login()
        wall = self._timekeeper.wall_seconds()
        record = Pending(login, Span(self._timekeeper.now(), PENDING_SECONDS), int(wall + PENDING_SECONDS))
        self._pending[identity.name] = record
        self._ended.pop(identity.name, None)
        self._events.emit("login.started", account=identity.name)
        await self._show()
        return record

    async def complete(self, identity: Identity, response: Secret) -> None:
        """Take what the person brought back. Raises: BadRequest, LoginError, UpstreamError."""
        found = parameters(response)
        await self._complete(identity, found)

    async def complete_redirect(self, response: Secret) -> Identity:
        """Take a redirect that arrived by itself: its state says whose it is. Raises: as `complete`."""
        found = parameters(response)
        if "state" not in found:
            raise ResponseMismatch("login response: it carries no state", hint="begin the login again")
        for name in list(self._pending):
            record = self._awaited(name)
            if name in self.identities and record is not None and _has_state(found, record.login):
                await self._complete(self.identities[name], found)
                return self.identities[name]
        raise ResponseMismatch(
            "login response: it answers no pending login",
            hint="it was used already, is older than ten minutes, or belongs to another login: begin the login again",
        )

    async def _complete(self, identity: Identity, found: dict[str, str]) -> None:
        record = self._awaited(identity.name)
        if record is None:
            hint = f"run: eliot-broker login {identity.name}"
            raise BadRequest(f"account {identity.name}: no login is pending", hint=hint)
        check_state(found, record.login)
        self._completing[identity.name] = self._pending.pop(
            identity.name
        )  # a second answer finds nothing, whatever becomes of this one
        try:
            await identity.finish_login(record.login, found)
        except BrokerError as error:
            if isinstance(error, UpstreamError | StoreError):  # the code may still be good: the person may try again
                self._pending.setdefault(identity.name, record)
            else:
                self._ended[identity.name] = error
            self._events.emit("login.failed", account=identity.name, code=error.code.value, detail=error.message)
            raise
        finally:
            if self._completing.get(identity.name) is record:
                del self._completing[identity.name]
            await self._show()

    async def void(self, name: str) -> None:
        """A logout ends what is pending, too."""
        if self._pending.pop(name, None) is not None:
            await self._show()

    async def maintain(self, now: Instant) -> None:
        """Forget what has expired."""
        for name, record in list(self._pending.items()):
            if self._left(record, now) <= 0 or name not in self.identities:
                del self._pending[name]
                self._ended[name] = LoginRequired(
                    f"account {name}: the login was not completed within {PENDING_SECONDS / 60:.0f} minutes",
                    hint=f"begin it again: eliot-broker login {name}",
                )
                self._events.emit("login.expired", account=name)
                await self._show()

    def due_in(self, now: Instant) -> float:
        """Seconds until the next pending login expires."""
        return min((max(0.0, self._left(record, now)) for record in self._pending.values()), default=float("inf"))

    async def close(self) -> None:
        """Stop awaiting redirects."""
        self._pending.clear()
        await self._show()

    async def _show(self) -> None:
        self.listen_problem = await self._window.open([record.login for record in self._pending.values()])

    @staticmethod
    def _left(record: Pending, now: Instant) -> float:
        return record.span.remaining(now) or 0.0


def _has_state(found: dict[str, str], login: PendingLogin) -> bool:
    try:
        check_state(found, login)
    except ResponseMismatch:
        return False
    return True
