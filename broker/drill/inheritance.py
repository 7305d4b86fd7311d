"""What a drill that begins with the present begins with: the broker's own documents, and the cloud's memory of them.

Knows the present as data, the services' documents, the scripted cloud and disk. Tokens and tickets are made up, only
their lives are true. The one invariant: what is written is read by the process as if an earlier one had written it.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.adapters.store import SealedStore
from broker.core import quota
from broker.core.demand import WEEK_HOURS, Demand
from broker.core.failure import Failure
from broker.core.instant import Instant, Lifetime, Span
from broker.core.quota import Ledger
from broker.core.secret import Secret
from broker.core.session import HeldToken, Session
from broker.drill.cloud import TruthOfTicket
from broker.drill.household import ACCOUNT
from broker.drill.process import STATE, STATE_KEY
from broker.drill.script import DAY
from broker.drill.virtual import InlineWorker
from broker.errors import Code, Remedy
from broker.services.book import Book
from broker.services.exchange import binding_of, settings_of
from broker.services.journal import Journal
from broker.services.page import HeldTicket
from broker.services.page import binding_of as door_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.drill.machine import Machine
    from broker.drill.present import Held, Present, Waiting

WEEK_SECONDS = 7 * DAY
MICROSECONDS = 1_000_000


class Inheritance:
    """Hands the present over to a machine on which nothing has run yet."""

    def __init__(self, present: Present, machine: Machine) -> None:
        self._present = present
        self._machine = machine
        self._cloud = machine.cloud
        self._household = machine.household
        self._config = machine.config
        reading = machine.clock.read()
        self._now = Instant(reading.boot_id, reading.boot_seconds, machine.clock.true_seconds)

    async def hand_over(self) -> None:
        """Write the documents, and let the cloud and the watch know of what stands in them."""
        store = SealedStore(STATE, self._machine.disk.for_process(lambda: None), STATE_KEY)
        store.prepare()
        Journal(f"account-{ACCOUNT}", store, lambda: self._now).replace(self._session())
        book = Book(ACCOUNT, store=store, worker=InlineWorker(), now=lambda: self._now, events=self._machine.watch)
        calls = list(self._calls_ago())
        book.ledger = self._ledger(calls)
        for held in self._present.tickets:
            if held.name in self._config.tickets:
                self._write_page(book, held)
        await book.commit()
        self._cloud.counted.extend(-ago for ago in calls)
        self._machine.watch.spacing.made_before((-ago for ago in calls), self._present.stopped_for)

    def _ago(self, seconds: float) -> Instant:
        now = self._now
        return replace(now, boot_seconds=now.boot_seconds - seconds, true_seconds=(now.true_seconds or 0.0) - seconds)

    def _life(self, ago: float, left: float) -> Lifetime:
        true_seconds = self._now.true_seconds or 0.0
        return Lifetime(int(true_seconds - ago), int(true_seconds + left), Span(self._ago(ago), ago + left))

    # the login

    def _session(self) -> Session:
        present, account = self._present, self._config.accounts[ACCOUNT]
        ago = 0.0 if present.token_ago is None else present.token_ago
        left = present.login_left
        grant = self._cloud.inherit(
            present.logged_in_ago, self._household.refresh_token_seconds if left is None else left
        )
        token = None
        if present.token_ago is not None:
            life = self._life(ago, present.token_left)
            token = HeldToken(Secret(f"id.{life.issued_at}.{life.expires_at}"), life, self._generation(ago))
        return Session(
            login_id="present",
            binding=binding_of(account),
            issuer="https://cloud.test",
            subject="mario",
            display_name=None,
            logged_in=self._ago(present.logged_in_ago),
            refresh_token=Secret(grant.token),
            refresh_token_life=None if left is None else Span(self._ago(ago), ago + left),
            id_token=token,
            failure=self._failure(present.token_failure),
        )

    def _generation(self, ago: float) -> int:
        return int(((self._now.true_seconds or 0.0) - ago) * MICROSECONDS)

    def _failure(self, waiting: Waiting | None) -> Failure | None:
        if waiting is None:
            return None
        began = self._ago(waiting.began_ago)
        return Failure(
            code=Code(waiting.code),
            remedy=Remedy(waiting.remedy),
            message=waiting.detail,
            hint=None,
            first=began,
            last=began,
            count=waiting.count,
            retry=Span(self._now, waiting.next_attempt_in),
            told=False,
            circumstances=settings_of(self._config.accounts[ACCOUNT]),
        )

    # the calls

    def _calls_ago(self) -> Iterator[float]:
        """How long ago each call of the last day was made, oldest first: evenly, but where some hold others back."""
        present, api = self._present, self._config.accounts[ACCOUNT].api
        used, leave_in = present.calls_used, [0.0] * present.calls_used
        if api.daily_quota and present.stopped_for <= 0:
            for wait, allowed in (
                (present.next_prefetch_in, api.daily_quota - api.quota_reserve),
                (present.next_call_in, api.daily_quota),
            ):
                for place in range(min(used, max(0, used - allowed + 1)) if wait > 0 else 0):
                    leave_in[place] = wait
        bound = sum(seconds > 0 for seconds in leave_in)
        begin = max(leave_in, default=0.0)
        for place, seconds in enumerate(leave_in):
            evenly = begin + (DAY - begin) * (place - bound + 0.5) / max(1, used - bound)
            yield DAY - (seconds or evenly)

    def _ledger(self, calls_ago: list[float]) -> Ledger:
        ledger = Ledger(self._ago(DAY))
        for ago in calls_ago:
            ledger = quota.recorded(ledger, self._ago(ago))
        stop = self._present.stopped_for
        return quota.stopped(ledger, self._now, stop) if stop > 0 else ledger

    # the tickets

    def _write_page(self, book: Book, held: Held) -> None:
        config = self._config.tickets[held.name]
        page = book.page(held.name, door_of(config))
        page.life_seconds, page.told, page.failure = held.life_seconds, held.told, self._failure(held.failure)
        page.demand = self._demand(held)
        if held.left_seconds is not None:
            count = max(1, held.in_hand)
            page.held = tuple(self._ticket(held, held.left_seconds * (n + 1) / count, n) for n in range(count))
            page.generation = page.held[-1].generation
        book.change(held.name)
        self._machine.watch.doors[held.name].told = held.told

    def _ticket(self, held: Held, left: float, number: int) -> HeldTicket:
        text = f"present-{number}-{held.name}"
        ago = max(0.0, (held.life_seconds or left) - left)
        self._cloud.tickets[text] = TruthOfTicket(held.name, -ago, left)
        return HeldTicket(Secret(text), self._life(ago, left), self._generation(ago), {})

    def _demand(self, held: Held) -> Demand | None:
        if not held.hours:
            return None
        now, hours = self._now.true_seconds or 0.0, array("f", bytes(4 * WEEK_HOURS))
        for hour, an_hour in held.hours:
            hours[hour] = an_hour * held.learnt_for / WEEK_SECONDS
        last = None if held.asked_ago is None else now - held.asked_ago
        return Demand(now - held.learnt_for, now, hours, last=last)
