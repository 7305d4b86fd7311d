"""Holds a process to what it says of its own future: when it renews, when it tries again, how many calls it has made.

What is shown in `status` is a promise too, within a process and across a restart. The one invariant: a plan changes
only with what it was made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core import quota
from broker.drill.record import DRIFT
from broker.drill.spacing import TOKEN

if TYPE_CHECKING:
    from collections.abc import Hashable

    from broker.core.instant import Instant
    from broker.drill.process import Process
    from broker.drill.record import Record
    from broker.drill.spacing import Spacing
    from broker.services.account import Account
    from broker.services.refreshable import Refreshable

ACCOUNT_WIDE = "all calls"
EXACT_SECONDS = 0.01  # a moment worked out twice from the same
DATE_SECONDS = 3.0  # the cloud's Date has whole seconds; two of them, and a moment between


class Plans:
    """What the present process, and the one before it, have said."""

    def __init__(self, record: Record, spacing: Spacing) -> None:
        self._record = record
        self._spacing = spacing
        self._renewals: dict[str, tuple[Hashable, float]] = {}  # what it was made from; when, on the boot clock
        self._torn = False
        self._waits: dict[str, tuple[float, float]] = {}  # until when the process before would wait, and how long

    def look(self, process: Process) -> None:
        """After a sweep."""
        now = process.timekeeper.now()
        for account in process.accounts.values():
            token, session = account.identity.token, account.identity.session
            life = None if session is None else session.refresh_token_life
            self._look_at_renewal(TOKEN, token, (session is None or session.login_id, life and life.seconds), now)
            for name, ticket in account.tickets.items():
                self._look_at_renewal(name, ticket.ref, (account.planner.version, ticket.need), now)
            self._look_at_count(account, now)

    def _look_at_renewal(self, name: str, held: Refreshable[Any], inputs: Hashable, now: Instant) -> None:
        """A value is renewed when it was planned to be, as long as nothing that the plan was made from changes."""
        value = held.value
        if value is None or value.life.span.start.boot_id != now.boot_id:
            self._renewals.pop(name, None)
            return
        made_from = (now.boot_id, value.generation, inputs)
        left = held.renewal_in(now)
        planned = now.boot_seconds + left
        before = self._renewals.get(name)
        if before is None or before[0] != made_from:
            self._renewals[name] = (made_from, planned)
        elif abs(max(before[1], now.boot_seconds) - planned) > EXACT_SECONDS:
            moved = planned - before[1]
            self._record.violate("a planned renewal stays where it is", f"{name}: moved by {moved:.2f} s")
            self._renewals[name] = (made_from, planned)

    def _look_at_count(self, account: Account, now: Instant) -> None:
        """No call that was made is forgotten, whatever restarts."""
        excuses = self._record.excuses
        if (
            not account.calls.rule.daily
            or excuses.disk
            or excuses.clock
            or self._record.clock.elapsed <= excuses.ledger_until
        ):
            return
        known, made = quota.used(account.book.ledger, account.calls.rule, now), self._spacing.calls_to_be_known()
        if known < made:
            self._record.violate("no call is forgotten", f"{made} made within a day, {known} known")

    # across a restart

    def process_ended(self, process: Process) -> None:
        """What it would have waited for binds the next one, if it could write it down."""
        self._renewals.clear()
        torn, self._torn = self._torn, False
        if torn or self._record.excuses.disk:
            return
        now, at = process.timekeeper.now(), self._record.clock.elapsed
        for account in process.accounts.values():
            whole = account.calls.failure
            if whole is not None and whole.next_attempt_in(now) > 0:
                self._waits[ACCOUNT_WIDE] = (at + whole.next_attempt_in(now), whole.next_attempt_in(now))
            if not account.identity.usable:
                continue
            held: dict[str, Refreshable[Any]] = {name: ticket.ref for name, ticket in account.tickets.items()}
            held[TOKEN] = account.identity.token
            for name, ref in held.items():
                wait = 0.0 if ref.failure is None or ref.in_flight else ref.failure.next_attempt_in(now)
                if wait > 0:
                    self._waits[name] = (at + wait, wait)

    def write_torn(self) -> None:
        """The process dies in the middle of a write, which may be of the very failure to wait for."""
        self._torn = True

    def sent(self, key: str) -> None:
        """A request is sent: not before the process that met the failure would have sent it."""
        for each in (key,) if key == TOKEN else (key, ACCOUNT_WIDE):
            until, wait = self._waits.pop(each, (0.0, 0.0))
            early = until - self._record.clock.elapsed
            if early > DATE_SECONDS + DRIFT * wait:
                self._record.violate("a restart forgets no waiting time", f"{each}: {early:.0f} s early")

    def forgive(self) -> None:
        """Nothing that was said before binds any more."""
        self._waits.clear()
        self._renewals.clear()
