"""The vocabulary of what happens: every event, how loud it is, and the facts that may come with it.

Knows no log and no hook. Names are `noun.past_participle`; facts carry their unit in their name. The one invariant:
what is not written here is not said: an unknown event or fact is a bug, so no secret slips out under a new name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One word of the vocabulary; `hooks`: the operator's command is run for it."""

    level: Level
    facts: frozenset[str]
    hooks: bool = False


def _event(level: Level, facts: str, *, hooks: bool = False) -> Event:
    return Event(level, frozenset(facts.split()), hooks)


_FAILURE = "code detail hint remedy service status next_attempt_seconds retry_after_seconds"
_PEER = "uid pid unit count window_seconds"
_LIFE = "generation fingerprint issued_at expires_at remaining_seconds"

EVENTS: dict[str, Event] = {
    # the process
    "service.started": _event("info", "version pid socket accounts tickets", hooks=True),
    "service.stopping": _event("info", "reason", hooks=True),
    "service.stopped": _event("info", "elapsed_seconds"),
    "service.crashed": _event("error", "detail traceback"),
    "defect.found": _event("error", "where detail traceback"),
    # the configuration
    "config.loaded": _event("info", "file accounts tickets"),
    "config.reloaded": _event("info", "file changes count detail"),
    "config.reload_failed": _event("error", "file problems count detail hint", hooks=True),
    "config.degraded": _event("error", "file problems count detail hint", hooks=True),
    "config.warned": _event("warning", "file detail hint"),
    # the state directory
    "store.damaged": _event("error", "document account detail hint code", hooks=True),
    "store.unavailable": _event("error", "document account detail hint code", hooks=True),
    "store.recovered": _event("info", "document account", hooks=True),
    "store.slot_repaired": _event("warning", "document detail"),
    # logins
    "login.started": _event("info", "account redirect_uri expires_at uid"),
    "login.completed": _event("info", "account subject generation", hooks=True),
    "login.failed": _event("warning", f"account {_FAILURE}"),
    "login.required": _event("error", f"account {_FAILURE}", hooks=True),
    "login.ending": _event("warning", "account threshold login_left_seconds expires_at detail", hooks=True),
    "login.expired": _event("info", "account"),
    "login.renewed": _event("info", "account generation login_left_seconds", hooks=True),
    "login.dropped": _event("warning", "account detail"),
    "login.restored": _event("warning", "account detail"),
    "logout.done": _event("info", "account uid", hooks=True),
    # id tokens
    "id_token.refreshed": _event("info", f"account login_left_seconds {_LIFE}"),
    "id_token.refresh_failed": _event("warning", f"account {_FAILURE}"),
    "id_token.refresh_ambiguous": _event("warning", f"account {_FAILURE}"),
    "id_token.served": _event("info", f"account {_PEER} {_LIFE}"),
    # tickets
    "ticket.issued": _event("info", f"ticket account {_LIFE}"),
    "ticket.issue_failed": _event("warning", f"ticket account {_FAILURE}"),
    "ticket.served": _event("info", f"ticket account {_PEER} {_LIFE}"),
    "ticket.unavailable": _event("error", f"ticket account {_FAILURE}", hooks=True),
    "ticket.recovered": _event("info", "ticket account generation", hooks=True),
    "ticket.probed": _event("info", "ticket account count"),
    "ticket.renewed_after_refusal": _event("info", "ticket account generation uid"),
    "publish.failed": _event("error", "ticket path detail hint", hooks=True),
    # the quota
    "quota.exhausted": _event("error", "account retry_after_seconds used quota detail", hooks=True),
    "quota.replenished": _event("info", "account used quota", hooks=True),
    "quota.reserve_reached": _event("warning", "account used quota reserve retry_after_seconds", hooks=True),
    "plan.changed": _event("info", "account detail"),
    # what a person must do, told again
    "problem.found": _event("error", f"subject {_FAILURE}", hooks=True),
    "problem.standing": _event("warning", f"subject count elapsed_seconds {_FAILURE}", hooks=True),
    # the clock
    "clock.stepped": _event("warning", "step_seconds", hooks=True),
    "clock.skewed": _event("warning", "skew_seconds", hooks=True),
    "clock.unsynchronized": _event("error", "wall_seconds detail", hooks=True),
    "clock.synchronized": _event("info", "wall_seconds", hooks=True),
    # the socket, the hooks, other people's code
    "request.refused": _event("warning", f"method path reason account ticket {_PEER} {_FAILURE}"),
    "request.limited": _event("warning", f"method path reason account ticket {_PEER} {_FAILURE}"),
    "request.failed": _event("error", "method path detail traceback"),
    "hook.installed": _event("info", "", hooks=True),
    "hook.failed": _event("warning", "hook_event detail"),
    "library.warned": _event("warning", "logger detail traceback"),
    "library.failed": _event("error", "logger detail traceback"),
}


def check(event: str, facts: Iterable[str]) -> Event:
    """The event's entry. Raises: ValueError for an event or a fact that is not in the vocabulary."""
    entry = EVENTS.get(event)
    if entry is None:
        raise ValueError(f"event {event} is not in the vocabulary")
    if not entry.facts.issuperset(facts):
        unknown = ", ".join(sorted(set(facts) - entry.facts))
        raise ValueError(f"event {event} has no fact {unknown}")
    return entry
