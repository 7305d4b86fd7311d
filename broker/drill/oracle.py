"""The oracle: knows the whole script, and says when a valid ticket could have been had, and how few calls would do.

It asks for no foresight: whoever had good conditions for as long as the last backoff may still run holds, from then
on, a ticket with the rest of its life that the plan promises, and a token likewise. A moment without a ticket although
one was so guaranteed is an avoidable miss. Pure. The one invariant: it never looks at what the broker did, only at
what happened to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.drill.intervals import (
    Intervals,
    complement,
    holds,
    intersection,
    later_end,
    later_start,
    total,
    union,
)
from broker.drill.script import DAY, KINDS

if TYPE_CHECKING:
    from broker.drill.record import Miss, Violation
    from broker.drill.script import Door, Script
    from broker.drill.watch import Watch
    from broker.drill.world import Seen

GRACE_SECONDS = 90.0  # a sweep, two answers, and a flight that ran into the end of the trouble
TOKEN_MARGIN = 0.45  # of an id token's life, at least, is left when its renewal is due
VALIDITY_SHARE = 0.1
TICKET_SECONDS_LEAST = 60.0
TOLERANCE_SECONDS = 5.0
SHORT_GAPS = 10  # so many may have lasted no longer than that
SLOW_SECONDS = 14.0  # an answer that takes longer may come too late for one of the timeouts
RECOVERY_SECONDS = 60.0  # after a wait that was told
PATIENCE_SECONDS = 21.0  # how long a caller waits for an answer: both timeouts of a call, and one more


@dataclass(frozen=True, slots=True)
class Judgement:
    """The figures of one drill; times in seconds."""

    seconds: float
    covered_seconds: float
    avoidable_seconds: float
    unavoidable_seconds: float
    misses: int
    avoidable_misses: int
    served: int
    losses: int
    avoidable_losses: int
    calls: int
    least_calls: int
    violations: tuple[Violation, ...]

    @property
    def availability(self) -> float:
        """The part of the time, since the first login, in which every door had a valid ticket."""
        return self.covered_seconds / self.seconds if self.seconds else 1.0


def judge(seen: Seen) -> Judgement:
    """Hold what was seen against what could have been."""
    watch, script = seen.watch, seen.script
    could = _Could(seen)
    avoidable_seconds = unavoidable_seconds = covered = lived = 0.0
    begin = seen.sign_ins[0] if seen.sign_ins else script.seconds
    least = 0
    for door in script.household.doors:
        if door.warm != "always" or door.single_use:
            continue
        gaps = [(max(start, begin), end) for start, end in watch.doors[door.name].gaps if end > begin]
        bad = intersection(union(gaps), could.guaranteed(door))
        avoidable = [part for part in bad if part[1] - part[0] > TOLERANCE_SECONDS]
        if len(bad) - len(avoidable) > SHORT_GAPS:
            avoidable = bad  # a moment at each renewal is no accident
        for start, end in avoidable:
            watch.violate("no miss that could be avoided", f"{door.name}: {start:.0f} to {end:.0f}")
        avoidable_seconds += total(avoidable)
        unavoidable_seconds += total(gaps) - total(avoidable)
        lived += script.seconds - begin
        covered += script.seconds - begin - total(gaps)
        least += least_calls(could.callable_moments(), script, begin)
    avoidable_misses = _judge_misses(watch, script, could)
    avoidable_losses = _judge_losses(watch, could)
    return Judgement(
        seconds=lived,
        covered_seconds=covered,
        avoidable_seconds=avoidable_seconds,
        unavoidable_seconds=unavoidable_seconds,
        misses=len(watch.misses),
        avoidable_misses=avoidable_misses,
        served=watch.served,
        losses=len(watch.losses),
        avoidable_losses=avoidable_losses,
        calls=watch.calls,
        least_calls=least,
        violations=tuple(watch.violations),
    )


def _judge_misses(watch: Watch, script: Script, could: _Could) -> int:
    found = 0
    doors = {door.name: door for door in script.household.doors}
    for miss in watch.misses:
        door = doors[miss.door]
        good = could.guaranteed(door) if door.warm == "always" and not door.single_use else could.askable(door)
        if (
            not _in_a_crowd(miss, door, script)
            and holds(good, miss.at_seconds)
            and holds(good, miss.at_seconds + TOLERANCE_SECONDS)
        ):
            found += 1
            watch.violate(
                "no caller is sent away who could be served", f"{miss.door} {miss.at_seconds:.0f} {miss.code}"
            )
    return found


def _in_a_crowd(miss: Miss, door: Door, script: Script) -> bool:
    """Whether so many came at once for tickets that are used up one by one that the last must wait too long.

    Calls for one door are made one after the other, and a caller waits for as long as one call may take.
    """
    takes = script.household.answer_seconds
    return door.single_use and any(
        it.kind == "burst"
        and 0 <= miss.at_seconds - it.at_seconds <= PATIENCE_SECONDS + takes
        and it.values.get("callers", 8) * takes > PATIENCE_SECONDS - 2 * takes
        for it in script.happenings
    )


def _judge_losses(watch: Watch, could: _Could) -> int:
    found = 0
    for loss in watch.losses:
        if loss.reason == "expired" and holds(could.keepable(), loss.at_seconds):
            found += 1
            watch.violate("no login is lost that could be kept", f"expired at {loss.at_seconds:.0f}")
        foreseen = loss.reason == "window" or (
            loss.reason == "expired" and could.script.household.refresh_token_seconds >= DAY
        )
        up = could.was_up(loss.ended_seconds)
        if foreseen and could.configured(loss.reason) and loss.warned_seconds is None and up:
            watch.violate("an end that can be foreseen is told before", f"{loss.reason} at {loss.ended_seconds:.0f}")
    return found


class _Could:
    """What was possible in one drill."""

    def __init__(self, seen: Seen) -> None:
        self.script = seen.script
        household, until = seen.script.household, seen.script.seconds
        bad: dict[str, Intervals] = {"token": [], "api": [], "process": []}
        tardy: Intervals = []
        for it in seen.script.happenings:
            kind, where = KINDS[it.kind], it.values.get("where", "all")
            recovery = kind.recovery_seconds
            told = it.values.get("retry_after")
            shadow = (it.at_seconds, it.ends_seconds + (recovery if told is None else float(told) + RECOVERY_SECONDS))
            if it.kind == "slow" and float(it.values.get("seconds", 0.0)) < SLOW_SECONDS:
                tardy.append(shadow)  # slow, but in time: only who asks for the first time may give up
                continue
            if kind.token and where in ("all", "token"):
                bad["token"].append(shadow)
            if kind.api and where in ("all", "api"):
                bad["api"].append(shadow)
        present = seen.script.present
        if present is not None:  # failures of before are waited out
            bad["token"].append((0.0, present.token_waits and present.token_waits + RECOVERY_SECONDS))
            bad["api"].append((0.0, present.calls_wait and present.calls_wait + RECOVERY_SECONDS))
        bad["process"] = [(start, end + 65.0) for start, end in seen.downs] + seen.watch.belief.unsure
        full = [(it.at_seconds, it.ends_seconds + 125.0) for it in seen.script.happenings if it.kind == "disk"]
        for start, end in full:  # it costs nothing, unless a process ends meanwhile with all that it could not save
            bad["process"] += [(start, end)] if any(start <= down < end for down, _ in seen.downs) else []
        away = [(start, end + 5.0) for start, end in seen.logged_out]
        self._down = union(seen.downs)
        self._unsure = seen.watch.belief.unsure
        token_good = later_start(complement(bad["token"] + bad["process"] + away, until), GRACE_SECONDS)
        margin = household.id_token_seconds * TOKEN_MARGIN - 30.0
        with_token = intersection(later_end(token_good, max(0.0, margin)), complement(away, until + margin))
        self._calls = intersection(complement(bad["api"] + bad["process"] + away, until), with_token)
        self._prefetches = intersection(self._calls, complement(union(seen.watch.spacing.squeezed), until))
        self._requests = intersection(self._calls, complement([*seen.watch.spacing.used_up, *tardy], until))
        self._writable = complement(full, until)
        self._keepable = later_end(token_good, household.refresh_token_seconds * 0.4)
        self._away = away
        self._until = until
        self._cache: dict[str, Intervals] = {}

    def callable_moments(self) -> Intervals:
        """When a call would bring a ticket."""
        return self._calls

    def askable(self, door: Door) -> Intervals:
        """When even somebody who asks for the first time must get one."""
        good = intersection(self._requests, self._not_alone(door))
        if door.single_use:  # that one is given away must be written down first
            good = intersection(good, self._writable)
        return later_start(good, GRACE_SECONDS)

    def _not_alone(self, door: Door) -> Intervals:
        """When this door has no trouble of its own."""
        script = self.script
        own = [it for it in script.happenings if it.kind == "device_offline"]
        mine = [it for it in own if script.household.door_meant(it) == door.name]
        return complement(
            ((it.at_seconds, it.ends_seconds + KINDS[it.kind].recovery_seconds) for it in mine), self._until
        )

    def guaranteed(self, door: Door) -> Intervals:
        """When a ticket that is kept warm must be in hand."""
        if door.name not in self._cache:
            life = self.script.household.ticket_seconds
            mandatory = min(door.min_validity_seconds, life * VALIDITY_SHARE)
            margin = self.script.household.planned_margin_seconds
            kept = max(0.0, (margin or 0.0) - mandatory)
            prefetches = intersection(self._prefetches, self._not_alone(door))
            warm = [] if margin is None else later_end(later_start(prefetches, GRACE_SECONDS), kept)
            here = complement([*self._down_and_start(), *self._away, *self._unsure], self._until)
            self._cache[door.name] = intersection(warm, here)
        return self._cache[door.name]

    def _down_and_start(self) -> Intervals:
        return [(start, end + 1.0) for start, end in self._down]

    def keepable(self) -> Intervals:
        """When a login cannot have expired, if it was refreshed as it could be."""
        return self._keepable

    def configured(self, reason: str) -> bool:
        """Whether the configuration could tell of this end."""
        return reason != "window" or self.script.household.window_configured

    def was_up(self, end: float) -> bool:
        """Whether there was a process for a good part of the last twelve hours, to warn."""
        alive = intersection(complement(self._down, self._until), [(end - DAY / 2, end)])
        return total(alive) > DAY / 8


def least_calls(moments: Intervals, script: Script, begin: float) -> int:
    """The fewest calls that cover all that can be covered, by one who knows the future: each ticket to its end.

    Where calls stop being possible before a ticket ends, one more is fetched at the last possible moment.
    """
    life, until = script.household.ticket_seconds, script.seconds
    calls, at = 0, begin
    for place, (start, end) in enumerate(moments):
        after = moments[place + 1][0] if place + 1 < len(moments) else until
        at = max(at, start)
        if at < end:
            tickets = -int((at - end) // life)
            calls, at = calls + tickets, at + tickets * life
        if at < min(end + life, after):
            calls, at = calls + 1, end + life
    return calls
