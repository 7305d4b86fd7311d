"""One sentence for each event that hooks are told of: what happened and what to do, ready for a mail or a telephone.

Pure. The one invariant: it is made from the event's facts only, so it can hold no secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.words import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTENCES: dict[str, str] = {
    "service.started": "eliot-broker {version} started",
    "service.stopping": "eliot-broker is stopping",
    "config.reload_failed": "the new configuration was refused, the old one stays: {detail}",
    "config.degraded": "eliot-broker has no usable configuration: {detail}",
    "store.damaged": "state of {document} is damaged: {detail}",
    "store.unavailable": "state of {document} cannot be used: {detail}",
    "store.recovered": "state of {document} can be used again",
    "login.completed": "logged in to {account} as {subject}",
    "login.required": "{detail}; run: eliot-broker login {account}",
    "login.ending": "the login to {account} ends within {threshold}; run: eliot-broker login {account}",
    "login.renewed": "the login to {account} was renewed and lives on",
    "logout.done": "logged out of {account}",
    "ticket.unavailable": "there is no valid ticket {ticket} ({code}); see: eliot-broker why {ticket}",
    "ticket.recovered": "ticket {ticket} can be had again",
    "hook.installed": "news of eliot-broker is told here from now on",
    "publish.failed": "ticket {ticket} could not be published: {detail}",
    "quota.exhausted": "the call quota of {account} is used up; no call for {retry_after}",
    "quota.replenished": "the call quota of {account} is replenished",
    "quota.reserve_reached": "only the reserve of {account}'s call quota is left",
    "clock.stepped": "the clock was set by {step_seconds} s",
    "clock.skewed": "this machine's clock is {skew_seconds} s off the cloud's",
    "clock.unsynchronized": "no clock can be believed; is NTP running?",
    "clock.synchronized": "the clock can be believed again",
    "problem.found": "{subject}: {detail}. {hint}",
    "problem.standing": "still so after {elapsed}: {detail}. {hint}",
}


class _Known(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence(event: str, facts: Mapping[str, object]) -> str:
    """The event as one sentence; an event without one is told by its name."""
    known = _Known({name: value for name, value in facts.items() if value is not None})
    for name in ("elapsed", "retry_after"):
        known[name] = duration(facts.get(f"{name}_seconds"))
    return SENTENCES.get(event, event).format_map(known).replace("\n", " ").removesuffix(" ?")
