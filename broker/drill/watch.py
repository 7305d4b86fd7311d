"""The watch: sees every request, every event and every answer to a caller, and holds them to what is promised.

It knows the truth from the cloud, and the promises from the contract, written down here a second time so that a
change of the code is not a change of the promise. Knows no asyncio. The one invariant: it changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.drill.script import DAY, HOUR, MINUTE
from broker.errors import (
    BrokerError,
    Code,
    GatewayOffline,
    GrantRejected,
    QuotaExhausted,
    RateLimited,
    TokenRefused,
    UpstreamRejected,
    UserActionRequired,
)
from broker.events import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.drill.cloud import ScriptedCloud
    from broker.drill.process import Process
    from broker.drill.script import Household
    from broker.drill.world_clock import WorldClock

SECOND = 1.0
SLOT_SECONDS = 180.0  # a call may count so much longer than a day
DRIFT = 3e-4  # how wrong a good clock may run
TOLD_SECONDS = 120.0  # until then it must have been told that there is no ticket
AMBIGUOUS_SECONDS = 5.0
SPACED = 10  # so many failed attempts in a row with nothing left …
SPACED_SECONDS = 60.0  # … take at least so long
REMEMBERED = 2000
MOST_TASKS = 64
LARGEST_DOCUMENT_BYTES = 64 * 1024

LEAST_SECONDS: tuple[tuple[type[BrokerError], float], ...] = (
    # the shortest pause after a failure for which nobody told one; half of the first step of its backoff
    (GatewayOffline, 15.0),
    (UserActionRequired, 450.0),
    (UpstreamRejected, 150.0),
    (QuotaExhausted, 1800.0),
    (RateLimited, 30.0),
    (BrokerError, 1.0),
)


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, at a second of the drill."""

    at_seconds: float
    rule: str
    detail: str


@dataclass(slots=True)
class Attempts:
    """The failed attempts of one key since the last success."""

    not_before: float = 0.0
    pause: float = 0.0
    why: str = ""
    may_force: bool = False  # one forced refresh and one retry are due after a 401
    forced_once: bool = False
    empty: deque[float] = field(default_factory=lambda: deque(maxlen=SPACED))  # those with nothing left to serve


@dataclass(slots=True)
class Coverage:
    """One door: until when its ticket is good, and the gaps in which there was none."""

    until: float = 0.0
    promised: float = 0.0
    gap_since: float | None = None
    told: bool = False
    gaps: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Miss:
    """A caller who got nothing."""

    at_seconds: float
    door: str
    code: str


@dataclass(frozen=True, slots=True)
class Loss:
    """A login that was given up at `at_seconds`; `ended_seconds` is when it could be refreshed no longer."""

    at_seconds: float
    reason: str
    warned_seconds: float | None  # how long before it was given up the first warning came
    ended_seconds: float


class Watch:
    """Everything that is seen in one drill, and the violations in it."""

    def __init__(self, household: Household, cloud: ScriptedCloud, clock: WorldClock) -> None:
        self.household = household
        self.cloud = cloud
        self.clock = clock
        self.violations: list[Violation] = []
        self.log: deque[str] = deque(maxlen=REMEMBERED)
        self.digest = hashlib.sha256()
        self.decisions: list[str] | None = None
        self.doors = {door.name: Coverage() for door in household.doors}
        self._kept_warm = tuple(it.name for it in household.doors if it.warm == "always" and not it.single_use)
        self.misses: list[Miss] = []
        self.losses: list[Loss] = []
        self.served = 0
        self.calls = 0
        self.refreshes = 0
        self.process: Process | None = None
        self.disk_trouble = False  # writes fail, or failed since the process began: what it knows may be lost
        self.clock_trouble = False  # since the boot nobody could know the time
        self.most_violations = 200
        self.enough: Callable[[], None] = lambda: None  # called once there are so many: the drill may end
        self._ledger_unsure_until = 0.0
        self.up_since = 0.0  # the process began, or the machine woke
        self.squeezed: list[tuple[float, float]] = []  # when the day's calls ahead of requests were used up …
        self.used_up: list[tuple[float, float]] = []  # … and when all calls were
        self._attempts: dict[str, Attempts] = {}
        self._account_until = 0.0
        self._rejected: dict[str, float] = {}  # token: when
        self._call_times: deque[float] = deque()
        self._replenished = (-DAY, -DAY)  # the cloud told then that the quota is whole again at the second moment
        self._spent: dict[str, None] = {}
        self._login_promised = 0.0
        self._warned_at: float | None = None
        self.first_warning: float | None = None
        self.unsure: list[tuple[float, float]] = []  # when nobody could know the time, or the clock broke TLS
        self._lost_for_good = False
        self._state_lost = False

    # telling

    def note(self, text: str) -> None:
        """A line of the log of decisions."""
        line = f"{self.clock.elapsed:14.2f} {text}"
        self.log.append(line)
        self.digest.update(line.encode())
        if self.decisions is not None:
            self.decisions.append(line)

    def violate(self, rule: str, detail: str) -> None:
        """A promise was not kept."""
        self.note(f"VIOLATION {rule}: {detail}")
        self.violations.append(Violation(self.clock.elapsed, rule, detail))
        if len(self.violations) >= self.most_violations:
            self.enough()

    def emit(self, event: str, **facts: object) -> None:
        """ports.Events."""
        check(event, facts)
        self.note(f"{event} " + " ".join(f"{key}={facts[key]}" for key in sorted(facts) if key != "detail"))
        match event:
            case "ticket.unavailable":
                self.doors[str(facts["ticket"])].told = True
            case "ticket.issued":
                self._look_at(str(facts["ticket"]))
            case "login.ending":
                self._warned_at = self._warned_at or self.clock.elapsed
                self.first_warning = self.first_warning or self.clock.elapsed
            case "login.required":
                self.login_lost(str(facts.get("detail")))
            case "login.completed":
                self.login_began()
            case "store.unavailable" | "store.damaged":
                self.disk_trouble = True

    # the token endpoint

    def asked_token(self, token: str) -> None:
        """A refresh is sent."""
        self.refreshes += 1
        if token in self._rejected:
            self.violate("rejected tokens are never sent again", token)
        self._check_spacing("token")

    def answered_token(self, token: str, error: BrokerError | None) -> None:
        """Its answer, as the broker's own tables judge it."""
        now = self.clock.elapsed
        self.note(f"refresh: {'ok' if error is None else type(error).__name__}")
        if error is None:
            self._attempts.pop("token", None)
            self._lost_for_good = self._state_lost = False
            return
        attempts = self._attempts.setdefault("token", Attempts())
        if isinstance(error, GrantRejected):
            self._rejected[token] = now
            attempts.not_before = 0.0
            return
        ambiguous = error.ambiguous
        self._failed(attempts, error, now, least=AMBIGUOUS_SECONDS if ambiguous else 0.0, empty=self._token_is_out())

    def _token_is_out(self) -> bool:
        if self.process is None:
            return True
        now = self.process.timekeeper.now()
        return all(account.identity.token.usable(now) is None for account in self.process.accounts.values())

    # the API

    def asked_api(self, device_id: str) -> None:
        """A call is made."""
        now = self.clock.elapsed
        self.calls += 1
        self._check_spacing(device_id)
        if now < self._account_until - SECOND - DRIFT * DAY:
            left = self._account_until - now
            self.violate("a waiting time that the cloud told is obeyed by the whole account", f"{left:.0f} s early")
        self._count_call(now)

    def _count_call(self, now: float) -> None:
        times = self._call_times
        times.append(now)
        told, replenished_at = self._replenished
        counts_from = max(now - DAY + MINUTE, told if now >= replenished_at - SECOND - DRIFT * DAY else -DAY)
        while times[0] <= counts_from:
            times.popleft()
        quota = self.household.daily_quota
        if quota:
            self._squeeze(self.squeezed, now, quota - self.household.quota_reserve - 2)
            self._squeeze(self.used_up, now, quota - 2)
        if quota and len(times) > quota and not self.disk_trouble and now > self._ledger_unsure_until:
            self.violate("the quota is never exceeded", f"{len(times)} calls within a day, {quota} allowed")

    def _squeeze(self, times: list[tuple[float, float]], now: float, allowed: int) -> None:
        """From now until so many calls of the last day no longer count that there is one to make."""
        over = len(self._call_times) - max(1, allowed)
        if over >= 0:
            times.append((now, self._call_times[over] + DAY + SLOT_SECONDS))

    def answered_api(self, device_id: str, error: BrokerError | None) -> None:
        """Its answer."""
        now = self.clock.elapsed
        self.note(f"call {device_id}: {'ok' if error is None else f'{type(error).__name__} {error.code.value}'}")
        if error is None:
            self._attempts.pop(device_id, None)
            return
        attempts = self._attempts.setdefault(device_id, Attempts())
        refused = isinstance(error, TokenRefused)
        attempts.may_force = refused and not attempts.forced_once
        if isinstance(error, RateLimited | QuotaExhausted) and error.retry_after_seconds is not None:
            self._account_until = max(self._account_until, now + error.retry_after_seconds)
            if isinstance(error, QuotaExhausted):
                self._replenished = (now, now + error.retry_after_seconds)
        self._failed(attempts, error, now, empty=not self._has(device_id))

    def _has(self, device_id: str) -> bool:
        process = self.process
        return process is not None and process.ticket(device_id).ref.usable(process.timekeeper.now()) is not None

    def _failed(
        self, attempts: Attempts, error: BrokerError, now: float, *, least: float = 0.0, empty: bool = False
    ) -> None:
        told = error.retry_after_seconds
        pause = told if told is not None else next(s for kind, s in LEAST_SECONDS if isinstance(error, kind))
        attempts.pause = max(pause, least, 1.0)
        attempts.not_before = now + attempts.pause
        attempts.why = type(error).__name__
        if told is None and empty:
            attempts.empty.append(now)
        else:
            attempts.empty.clear()

    def _check_spacing(self, key: str) -> None:
        attempts, now = self._attempts.get(key), self.clock.elapsed
        if attempts is None:
            return
        early = attempts.not_before - now
        if early > 0.01 + DRIFT * attempts.pause and attempts.may_force:
            attempts.may_force, attempts.forced_once = False, True
        elif early > 0.01 + DRIFT * attempts.pause:
            self.violate("backoff is spaced as promised", f"{key}: {early:.2f} s early after {attempts.why}")
        times = attempts.empty
        if len(times) == SPACED and now - times[0] < SPACED_SECONDS:
            self.violate("backoff grows", f"{key}: {SPACED} attempts within {now - times[0]:.0f} s")
            times.clear()

    def forgive(self) -> None:
        """What was promised before no longer binds: other settings, another login, a state or a clock that was lost."""
        self._attempts.clear()
        self._account_until = 0.0

    # logins

    def login_began(self) -> None:
        """A person has logged in."""
        self._warned_at = None
        self._login_promised = 0.0
        self._attempts.pop("token", None)

    def login_lost(self, detail: str) -> None:
        """The process has given a login up."""
        newest = self.cloud.newest
        now = self.clock.elapsed
        reason = "unjustified" if newest is None or newest.login.why_dead is None else newest.login.why_dead
        if reason == "unjustified" and newest is not None and now >= newest.expires:
            reason = "expired"
        warned = None if self._warned_at is None else now - self._warned_at
        ended = now if newest is None or reason not in ("expired", "window") else min(now, newest.expires)
        self.losses.append(Loss(now, reason, warned, ended))
        if reason == "unjustified":
            if not (self.disk_trouble or self._state_lost):
                self.violate("a login is given up only when the provider says so", detail)
        elif reason == "reused" and not (self._answer_was_lost() or self._may_be_forgiven()):
            self.violate("no login is lost that could be kept", f"{reason}: {detail}")
        elif reason == "expired" and now < self._login_promised * (1 - DRIFT) - MINUTE:
            self.violate("runway of the login holds", f"promised for {self._login_promised - now:.0f} s more")

    def _may_be_forgiven(self) -> bool:
        return self.disk_trouble or self._lost_for_good or self._state_lost

    def state_lost(self) -> None:
        """A process ended that could not write down what it knew."""
        self._state_lost = True
        self._ledger_unsure_until = self.clock.elapsed + DAY
        self._rejected.clear()

    def write_torn(self) -> None:
        """The process died in the middle of a write: what it heard just now, and the wait for it, may be lost."""
        self.forgive()
        now = self.clock.elapsed
        self._rejected = {token: at for token, at in self._rejected.items() if at < now - SECOND}

    def _answer_was_lost(self) -> bool:
        """Whether the only good token stood in an answer that never arrived."""
        return self.cloud.newest is not None and not self.cloud.newest.delivered

    def answer_may_be_lost(self) -> None:
        """The process died while a refresh was under way: nobody can know whether it was carried out."""
        self._lost_for_good = True

    # callers

    def answered(self, door: str, text: str, *, single_use: bool) -> None:
        """A caller got a ticket."""
        now = self.clock.elapsed
        self.served += 1
        truth = self.cloud.tickets.get(text)
        self.note(f"served {door}")
        if truth is None:
            self.violate("only the cloud's own tickets are handed out", door)
        elif now >= truth.ends + SECOND + DRIFT * (now - truth.made):
            self.violate("an expired ticket is never handed out", f"{door}: {now - truth.ends:.0f} s too late")
        elif truth.device_id != door:
            self.violate("a ticket opens the door it was asked for", door)
        if single_use:
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
        if truth is not None and truth.ends - now > least_seconds + 2 * SECOND + DRIFT * DAY and not self.clock_trouble:
            self.violate("a valid ticket is never withheld", f"{door}: {truth.ends - now:.0f} s left, {code.value}")

    def late(self, door: str, seconds: float) -> None:
        """A caller had to wait although there was a valid ticket."""
        self.violate("a valid ticket is answered at once", f"{door}: after {seconds:.2f} s")

    # the state, after each sweep

    def look(self, process: Process) -> None:
        """What the process has in hand now, and what it promises."""
        for name in self._kept_warm:
            self._look_at(name)
        now = process.timekeeper.now()
        for account in process.accounts.values():
            left = account.identity.login_left(now)
            if left is not None and left > 0:
                self._login_promised = self.clock.elapsed + left
            self._note_runway(account.runway_seconds(now))
            if now.true_seconds is not None and self.clock_trouble and abs(self.clock.wall_error_seconds) < MINUTE:
                self.clock_trouble = False
        if process.tasks > MOST_TASKS:
            self.violate("memory is bounded", f"{process.tasks} tasks")

    def _note_runway(self, seconds: float | None) -> None:
        """So long every ticket that is kept warm is promised to be had, whatever the cloud does."""
        if seconds is None or seconds <= 0:
            return
        until = self.clock.elapsed + seconds * (1 - DRIFT) - 2 * SECOND
        for name in self._kept_warm:
            cover = self.doors[name]
            cover.promised = max(cover.promised, until)

    def _look_at(self, name: str) -> None:
        process, cover, t = self.process, self.doors[name], self.clock.elapsed
        if process is None or name not in self._kept_warm:
            return
        left = process.ticket(name).ref.remaining(process.timekeeper.now())
        if cover.gap_since is None and cover.until < t - SECOND:
            self._gap_begins(cover, name, cover.until)
        if left > 0:
            self._covered(cover, t, left)
            return
        if cover.gap_since is None:
            self._gap_begins(cover, name, t)
        elif t - cover.gap_since > TOLD_SECONDS and not cover.told:
            self._check_told(cover, name, t)

    def _covered(self, cover: Coverage, t: float, left: float) -> None:
        if cover.gap_since is not None:
            cover.gaps.append((cover.gap_since, t))
            cover.gap_since, cover.told = None, False
        cover.until = t + left

    def _gap_begins(self, cover: Coverage, name: str, since: float) -> None:
        cover.gap_since = since
        if since < cover.promised and not self.clock_trouble:
            self.violate(
                "runway is never promised longer than it held", f"{name}: {cover.promised - since:.0f} s short"
            )

    def _check_told(self, cover: Coverage, name: str, t: float) -> None:
        cover.told = True
        process = self.process
        if process is None or self.up_since >= t - TOLD_SECONDS or not self.household.plan_fits:
            return  # gaps that the quota's plan leaves are told as the plan
        service = process.ticket(name)
        if not service.ref.in_flight and service.code(process.timekeeper.now()) is not None:  # else as planned
            self.violate("that there is no ticket is told", name)

    def release_promise(self, name: str) -> None:
        """The ticket in hand was given up by somebody's wish, or its process has ended."""
        self.doors[name].promised = 0.0

    def process_ended(self) -> None:
        """No process: no ticket can be had."""
        t = self.clock.elapsed
        for cover in self.doors.values():
            cover.promised = 0.0
            if cover.gap_since is None:
                cover.gap_since = min(t, cover.until)
            cover.told = False
            cover.until = min(cover.until, t)
        for attempts in self._attempts.values():
            attempts.forced_once = False  # each process may force one refresh; its calls are spaced all the same
        self.process = None

    def finish(self) -> None:
        """The drill is over: open gaps end here."""
        t = self.clock.elapsed
        for cover in self.doors.values():
            if cover.gap_since is None and cover.until < t:
                cover.gap_since = cover.until
            if cover.gap_since is not None:
                cover.gaps.append((cover.gap_since, t))
                cover.gap_since = None


__all__ = ["DAY", "HOUR", "Coverage", "Loss", "Miss", "Violation", "Watch"]
