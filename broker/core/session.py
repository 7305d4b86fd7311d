"""One account's login as a value, and the one table of what may happen to it.

Knows no provider, no disk, no clock. Every change is a function from Session to Session; the journal saves each before
it is used. The invariants: a rejected token is never chosen again; the newest token is never dropped unheard; the
previous one is chosen only after the newest was rejected.

    phase       event        next         meaning
    settled     intend       attempting   the request is about to be made, and the disk knows it
    attempting  answer       settled      new tokens (or the old refresh token kept, RFC 6749 section 6)
    attempting  fail         settled      the cloud did not carry it out
    attempting  lose         ambiguous    it may have carried it out: the same token is repeated, after a rest
    attempting  reject       settled      that token is dead; the previous one is tried, once
    attempting  reject       ended        none is left: a person must log in
    ambiguous   intend       attempting
    (a crash while attempting is read as ambiguous)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from broker.core.instant import Span

if TYPE_CHECKING:
    from broker.core.failure import Failure
    from broker.core.instant import Instant, Lifetime
    from broker.core.secret import Secret
    from broker.core.tokens import TokenSet

REST_SECONDS = 5.0  # after an ambiguous attempt: the cloud may still be busy with the old request
REMEMBERED_REJECTIONS = 16


class Phase(StrEnum):
    """Where a refresh stands."""

    SETTLED = "settled"
    ATTEMPTING = "attempting"
    AMBIGUOUS = "ambiguous"
    ENDED = "ended"


class Event(StrEnum):
    """What can happen to a session."""

    INTEND = "intend"
    ANSWER = "answer"
    FAIL = "fail"
    LOSE = "lose"
    REJECT = "reject"


TRANSITIONS: dict[tuple[Phase, Event], frozenset[Phase]] = {
    (Phase.SETTLED, Event.INTEND): frozenset({Phase.ATTEMPTING}),
    (Phase.AMBIGUOUS, Event.INTEND): frozenset({Phase.ATTEMPTING}),
    (Phase.ATTEMPTING, Event.ANSWER): frozenset({Phase.SETTLED}),
    (Phase.ATTEMPTING, Event.FAIL): frozenset({Phase.SETTLED}),
    (Phase.ATTEMPTING, Event.LOSE): frozenset({Phase.AMBIGUOUS}),
    (Phase.ATTEMPTING, Event.REJECT): frozenset({Phase.SETTLED, Phase.ENDED}),
}


class ImpossibleTransition(AssertionError):
    """The services asked for a step that the table does not have: a bug."""


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token that callers or the API use, with its life and its generation."""

    token: Secret
    life: Lifetime
    generation: int


@dataclass(frozen=True, slots=True)
class Session:
    """A login. `login_id` names this very login; `binding` the application it was made for (a digest).

    `lost_at` is when an attempt became ambiguous and has not been resolved since; `ended` says why a person must act.
    """

    login_id: str
    binding: str
    issuer: str
    subject: str
    display_name: str | None
    logged_in: Instant
    phase: Phase = Phase.SETTLED
    refresh_token: Secret | None = None
    refresh_token_life: Span | None = None
    previous_refresh_token: Secret | None = None
    rejected: tuple[str, ...] = ()
    lost_at: Instant | None = None
    ended: str | None = None
    id_token: HeldToken | None = None
    access_token: HeldToken | None = None
    failure: Failure | None = None
    warned: tuple[str, ...] = ()

    def token_to_send(self) -> Secret | None:
        """The refresh token for the next attempt: the newest, or the previous once the newest was rejected."""
        for token in (self.refresh_token, self.previous_refresh_token):
            if token is not None and not (self.rejected and token.digest in self.rejected):
                return token
        return None


@dataclass(frozen=True, slots=True)
class Mark:
    """How often a login was saved: kept in another document too, to tell a restored backup by."""

    login_id: str
    saves: int


def step(session: Session, event: Event, to: Phase, **changes: Any) -> Session:
    """Move along the table, and change these fields with it. Raises: ImpossibleTransition."""
    if to not in TRANSITIONS.get((session.phase, event), frozenset()):
        raise ImpossibleTransition(f"{session.phase} --{event}--> {to}")
    return replace(session, phase=to, **changes)


def life_of(tokens: TokenSet, now: Instant, assumed_life_seconds: float | None) -> Span | None:
    """The refresh token's life: as the answer tells it, else as configured, else unknown."""
    told = tokens.refresh_token_seconds if tokens.refresh_token_seconds is not None else assumed_life_seconds
    return None if told is None else Span(now, told)


def intended(session: Session, presumed: Failure) -> Session:
    """A request with `token_to_send` is about to be made.

    `presumed` is the failure that it is if nobody ever hears of its outcome: a crash loop then keeps the backoff.
    """
    return step(session, Event.INTEND, Phase.ATTEMPTING, failure=presumed)


def answered(
    session: Session, sent: Secret, tokens: TokenSet, now: Instant, *, assumed_life_seconds: float | None
) -> Session:
    """The provider answered with tokens: rotation is taken over before anything in the answer has been verified.

    `assumed_life_seconds` is the configured life of a refresh token, for answers that do not tell it.
    """
    new = tokens.refresh_token
    life = life_of(tokens, now, assumed_life_seconds)
    if new is None or new == sent:
        newest, previous = sent, session.previous_refresh_token if sent == session.refresh_token else None
        life = life if tokens.refresh_token_seconds is not None else session.refresh_token_life
    else:
        newest, previous = new, sent
    return step(
        session,
        Event.ANSWER,
        Phase.SETTLED,
        refresh_token=newest,
        previous_refresh_token=previous,
        refresh_token_life=life,
        lost_at=None,
        ended=None,
    )


def verified(session: Session, id_token: HeldToken | None, access_token: HeldToken | None) -> Session:
    """The answer's tokens were found good: they are what callers get from now on."""
    return replace(session, id_token=id_token, access_token=access_token, failure=None)


def failed(session: Session, failure: Failure, now: Instant, *, ambiguous: bool) -> Session:
    """The attempt brought nothing; ambiguous: it may have been carried out, so the same token is repeated."""
    if session.phase is not Phase.ATTEMPTING:
        return replace(session, failure=failure)
    if not ambiguous:
        return step(session, Event.FAIL, Phase.SETTLED, failure=failure)
    return step(session, Event.LOSE, Phase.AMBIGUOUS, failure=failure, lost_at=session.lost_at or now)


def rejected(session: Session, sent: Secret, failure: Failure) -> Session:
    """The provider rejected this very token for good; it is never sent again."""
    known = (*session.rejected, sent.digest)[-REMEMBERED_REJECTIONS:]
    fallen = replace(session, rejected=known, failure=failure)
    if fallen.token_to_send() is not None:
        return step(fallen, Event.REJECT, Phase.SETTLED)
    return step(fallen, Event.REJECT, Phase.ENDED, ended=failure.message)


def recovered(session: Session, now: Instant) -> Session:
    """The session as it is read after a start: an attempt that has no outcome on disk is ambiguous."""
    if session.phase is not Phase.ATTEMPTING:
        return session
    return replace(session, phase=Phase.AMBIGUOUS, lost_at=session.lost_at or now)
