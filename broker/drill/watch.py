"""The watch: sees every request, every event and every answer to a caller, and holds them to what is promised.

It knows the truth from the cloud, and the promises from the contract, written down here (and in `spacing`, `coverage`,
`plans`, `news`, `belief`) a second time so that a change of the code is not a change of the promise. Knows no asyncio.
The one invariant: it changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.drill.belief import Belief
from broker.drill.coverage import Doors
from broker.drill.news import News
from broker.drill.plans import Plans
from broker.drill.record import DRIFT, SECOND, Loss, Miss, Record
from broker.drill.script import DAY, MINUTE
from broker.drill.spacing import TOKEN, Spacing
from broker.errors import GrantRejected
from broker.events import check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.drill.cloud import Grant, ScriptedCloud
    from broker.drill.process import Process
    from broker.drill.script import Household
    from broker.drill.world_clock import WorldClock
    from broker.errors import BrokerError, Code
    from broker.services.account import Account

REMEMBERED = 2000
MOST_TASKS = 64
MOST_SLOTS = 800  # of two minutes each, in a day of 25 hours, and a few


class Watch(Record):
    """Everything that is seen in one drill, and the violations in it."""

    def __init__(self, household: Household, cloud: ScriptedCloud, clock: WorldClock) -> None:
        super().__init__(clock)
        self.household = household
        self.cloud = cloud
        self.spacing = Spacing(household, self)
        self.coverage = Doors(household, self)
        self.plans = Plans(self, self.spacing)
        self.belief = Belief(self)
        self.news = News(self)
        self.doors = self.coverage.by_name
        self.misses: list[Miss] = []
        self.losses: list[Loss] = []
        self.served = 0
        self.calls = 0
        self.refreshes = 0
        self.process: Process | None = None
        self.first_warning: float | None = None
        self._rejected: dict[str, float] = {}  # token: when
        self._spent: dict[str, None] = {}
        self._login_promised = 0.0
        self._warned_at: float | None = None
        self._lost_for_good = False
        self._state_lost = False

    def emit(self, event: str, **facts: object) -> None:
        """ports.Events."""
        check(event, facts)
        self.note(f"{event} " + " ".join(f"{key}={facts[key]}" for key in sorted(facts) if key != "detail"))
        match event:
            case "ticket.unavailable":
                self.doors[str(facts["ticket"])].told = True
                self.news.tell(event, str(facts["ticket"]))
            case "clock.skewed":
                self.belief.skew_told = True
            case "ticket.recovered":
                self.news.recovered(str(facts["ticket"]))
            case "ticket.issued" if self.process is not None:
                self._is_in_hand(self.process, str(facts["ticket"]))
            case "id_token.refreshed":
                self.spacing.in_hand(TOKEN, self._tokens_life())
            case "login.ending" | "login.required" | "login.completed":
                self._hear_of_login(event, facts)
            case "store.unavailable":
                self.excuses.disk = True
            case "store.damaged":
                self._damaged(str(facts["document"]))

    def _is_in_hand(self, process: Process, ticket: str) -> None:
        self.spacing.shelved(ticket)
        self.coverage.look_at(process, ticket)
        self.spacing.in_hand(ticket, self.household.ticket_seconds)

    def _damaged(self, document: str) -> None:
        if not self.excuses.disk:
            self.violate("a document is whole whatever ends a process", document)
        self.excuses.disk = True

    # the token endpoint

    def asked_token(self, token: str) -> None:
        """A refresh is sent."""
        self.refreshes += 1
        if token in self._rejected:
            self.violate("rejected tokens are never sent again", token)
        self.spacing.sent(TOKEN)
        self.plans.sent(TOKEN)

    def answered_token(self, token: str, error: BrokerError | None) -> None:
        """Its answer, as the broker's own tables judge it."""
        self.note(f"refresh: {'ok' if error is None else type(error).__name__}")
        if error is None:
            self.spacing.succeeded(TOKEN)
            self._lost_for_good = self._state_lost = False
            self._hear_date()
        elif isinstance(error, GrantRejected):
            self._rejected[token] = self.clock.elapsed
            self.spacing.rejected(TOKEN)
        else:
            self.spacing.failed(TOKEN, error, empty=self._token_is_out())

    def _tokens_life(self) -> float:
        """Of what has just come: the id token's, or the refresh token's where that is shorter."""
        newest = self.cloud.newest
        left = self.household.id_token_seconds if newest is None else newest.expires - self.clock.elapsed
        return min(self.household.id_token_seconds, left)

    def _hear_date(self) -> None:
        if not self.cloud.sky.now("no_date"):
            self.belief.date_told()

    def _token_is_out(self) -> bool:
        if self.process is None:
            return True
        now = self.process.timekeeper.now()
        return all(account.identity.token.usable(now) is None for account in self.process.accounts.values())

    # the API

    def asked_api(self, device_id: str) -> None:
        """A call is made."""
        self.calls += 1
        self.belief.call_made()
        self.spacing.sent(device_id)
        self.plans.sent(device_id)
        self.spacing.called(device_id)

    def answered_api(self, device_id: str, error: BrokerError | None) -> None:
        """Its answer."""
        self.note(f"call {device_id}: {'ok' if error is None else f'{type(error).__name__} {error.code.value}'}")
        if error is None:
            self.spacing.succeeded(device_id)
            self._hear_date()
        else:
            self.spacing.call_failed(device_id, error, empty=not self._has(device_id))

    def _has(self, device_id: str) -> bool:
        process = self.process
        return process is not None and process.ticket(device_id).ref.usable(process.timekeeper.now()) is not None

    # logins

    def _hear_of_login(self, event: str, facts: Mapping[str, object]) -> None:
        match event:
            case "login.ending":
                self.news.tell(event, str(facts["threshold"]))
                self._warned_at = self._warned_at or self.clock.elapsed
                self.first_warning = self.first_warning or self.clock.elapsed
            case "login.required":
                self.login_lost(str(facts.get("detail")))
            case "login.completed":
                self._login_began()

    def _login_began(self) -> None:
        """A person has logged in."""
        self._warned_at = None
        self.news.login_lives(None)
        self._login_promised = 0.0
        self.spacing.succeeded(TOKEN)
        self.spacing.in_hand(TOKEN, self._tokens_life())
        self.plans.forgive()

    def login_lost(self, detail: str) -> None:
        """The process has given a login up."""
        newest = self.cloud.newest
        now = self.clock.elapsed
        reason = "unjustified" if newest is None or newest.login.why_dead is None else newest.login.why_dead
        if reason == "unjustified" and newest is not None and now >= newest.expires:
            reason = "expired"
        warned = None if self._warned_at is None else now - self._warned_at
        ended = min(now, self._end_of(newest)) if newest is not None and reason in ("expired", "window") else now
        self.losses.append(Loss(now, reason, warned, ended))
        if reason == "unjustified":
            if not self._state_lost:
                self.violate("a login is given up only when the provider says so", detail)
        elif reason == "reused" and not (self._answer_was_lost() or self._may_be_forgiven()):
            self.violate("no login is lost that could be kept", f"{reason}: {detail}")
        elif reason in ("expired", "window") and now < self._login_promised * (1 - DRIFT) - MINUTE:
            self.violate("runway of the login holds", f"promised for {self._login_promised - now:.0f} s more")

    def _end_of(self, grant: Grant) -> float:
        """When a refresh token could be used no longer."""
        window = self.household.sliding_window_seconds
        return grant.expires if window is None else min(grant.expires, grant.login.created + window)

    def _may_be_forgiven(self) -> bool:
        return self.excuses.disk or self._lost_for_good or self._state_lost

    def _answer_was_lost(self) -> bool:
        """Whether the only good token stood in an answer that never arrived."""
        return self.cloud.newest is not None and not self.cloud.newest.delivered

    # what excuses

    def forgive(self) -> None:
        """What was promised before no longer binds: other settings, another login, a state or a clock that was lost."""
        self.spacing.forgive()
        self.plans.forgive()

    def clock_lost(self) -> None:
        """The machine boots with a clock that says the wrong time: until somebody tells it, nobody can know."""
        self.belief.clock_lost()
        self.forgive()  # nobody can tell how long it was off: what waited is due

    def state_lost(self) -> None:
        """A process ended that could not write down what it knew."""
        self.news.forgive()
        self._state_lost = True
        self.excuses.ledger_until = self.clock.elapsed + DAY
        self._rejected.clear()

    def write_torn(self) -> None:
        """The process died in the middle of a write: what it heard just now, and the wait for it, may be lost."""
        self.forgive()
        self.news.forgive()
        self.plans.write_torn()
        now = self.clock.elapsed
        self._rejected = {token: at for token, at in self._rejected.items() if at < now - SECOND}

    def answer_may_be_lost(self) -> None:
        """The process died while a refresh was under way: nobody can know whether it was carried out."""
        self._lost_for_good = True

    # callers

    def asks(self, door: str) -> None:
        """Somebody asks for a ticket."""
        self.spacing.asked_for(door)

    def answered(self, door: str, text: str, *, single_use: bool) -> None:
        """A caller got a ticket."""
        now = self.clock.elapsed
        self.served += 1
        truth = self.cloud.tickets.get(text)
        self.note(f"served {door}")
        if truth is None:
            self.violate("only the cloud's own tickets are handed out", door)
        elif now >= truth.ends and self.excuses.clock:
            pass  # nobody could know
        elif now >= truth.ends + SECOND + DRIFT * (now - truth.made):
            self.violate("an expired ticket is never handed out", f"{door}: {now - truth.ends:.0f} s too late")
        elif truth.device_id != door:
            self.violate("a ticket opens the door it was asked for", door)
        if single_use:
            self.spacing.gave(door)
            if text in self._spent:
                self.violate("a single-use ticket is handed out once", door)
            self._spent[text] = None
            if len(self._spent) > REMEMBERED:
                del self._spent[next(iter(self._spent))]

    def refused(self, door: str, code: Code, held_text: str | None, least_seconds: float) -> None:
        """A caller got none, although the process held this ticket (None: nothing)."""
        now = self.clock.elapsed
        self.note(f"refused {door}: {code.value}")
        self.misses.append(Miss(now, door, code.value))
        truth = None if held_text is None else self.cloud.tickets.get(held_text)
        left = 0.0 if truth is None else truth.ends - now
        if left > least_seconds + 2 * SECOND + DRIFT * DAY and not self.excuses.clock:
            self.violate("a valid ticket is never withheld", f"{door}: {left:.0f} s left, {code.value}")

    def late(self, door: str, seconds: float) -> None:
        """A caller had to wait although there was a valid ticket."""
        self.violate("a valid ticket is answered at once", f"{door}: after {seconds:.2f} s")

    # the state, after each sweep

    def look(self, process: Process) -> None:
        """What the process has in hand now, and what it promises."""
        self.coverage.look(process)
        self.plans.look(process)
        now = process.timekeeper.now()
        for account in process.accounts.values():
            left = account.identity.login_left(now)
            self.news.login_lives(left)
            if left is not None and left > 0:
                self._login_promised = self.clock.elapsed + left
            if not self.excuses.clock:
                self.coverage.promise(account.runway_seconds(now))
            self._check_memory(account)
            if now.true_seconds is not None and not self.belief.is_unsure:
                self.excuses.clock = False
        if process.tasks > MOST_TASKS:
            self.violate("memory is bounded", f"{process.tasks} tasks")

    def _check_memory(self, account: Account) -> None:
        if len(account.book.ledger.calls) > MOST_SLOTS:
            self.violate("memory is bounded", f"{len(account.book.ledger.calls)} slots of calls")
        for door in self.household.doors:
            held = len(account.tickets[door.name].page.held)
            if held > 2 * door.pool + 1:
                self.violate("memory is bounded", f"{held} tickets of {door.name}")

    def clock_leapt(self) -> None:
        """Another boot, or the wall clock went ahead: the token may have ended unnoticed, and is asked for anew."""
        self.spacing.given_up(TOKEN)

    def release_promise(self, name: str) -> None:
        """The ticket in hand was given up by somebody's wish."""
        self.doors[name].promised = 0.0
        self.spacing.given_up(name)

    def process_ended(self) -> None:
        """No process: no ticket can be had."""
        if self.process is not None:
            self.plans.process_ended(self.process)
        self.coverage.process_ended()
        self.spacing.process_ended()
        self.process = None
        if self.belief.process_ended():
            self.forgive()

    def finish(self) -> None:
        """The drill is over."""
        self.belief.finish()
        self.coverage.finish()
