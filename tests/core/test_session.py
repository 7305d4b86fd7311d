"""The table of the login: what may happen to a session, and what may never."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.core import session as steps
from broker.core.failure import after
from broker.core.instant import Instant
from broker.core.secret import Secret
from broker.core.session import Phase, Session
from broker.core.tokens import TokenSet
from broker.errors import GrantRejected, UpstreamUnavailable

NOW = Instant("boot", 1000.0, 1_800_000_000.0)


def a_session(token: str | None = "rt-0") -> Session:
    return Session(
        login_id="login",
        binding="app",
        issuer="https://issuer",
        subject="mario",
        display_name=None,
        logged_in=NOW,
        refresh_token=None if token is None else Secret(token),
    )


def a_failure(*, ambiguous: bool = False) -> UpstreamUnavailable:
    return UpstreamUnavailable("down", service="token endpoint", ambiguous=ambiguous)


def intend(session: Session) -> Session:
    presumed = after(a_failure(ambiguous=True), session.failure, NOW, runway_seconds=None, salt="")
    return steps.intended(session, presumed)


REJECTION = GrantRejected("AADB2C90080: expired", service="token endpoint", status=400)


@dataclass
class Provider:
    """A strict provider: one live token, each use replaces it; the worst case for whoever loses an answer."""

    live: str = "rt-0"
    made: int = 0
    seen: list[str] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)

    def use(self, token: str) -> str | None:
        self.seen.append(token)
        if token != self.live:
            self.rejected.add(token)
            return None
        self.made += 1
        self.live = f"rt-{self.made}"
        return self.live


class SessionMachine(RuleBasedStateMachine):
    """Any order of answers, failures, losses, rejections and crashes, against a strict provider."""

    def __init__(self) -> None:
        super().__init__()
        self.session = a_session()
        self.provider = Provider()
        self.sent: Secret | None = None
        self.accepted: list[str] = ["rt-0"]

    @initialize()
    def begin(self) -> None:
        self.session = a_session()

    @precondition(lambda self: self.session.phase in {Phase.SETTLED, Phase.AMBIGUOUS} and self.sent is None)
    @rule()
    def intend(self) -> None:
        token = self.session.token_to_send()
        if token is None:
            return
        assert token.reveal() not in self.provider.rejected, "a rejected token is never sent again"
        self.sent = token
        self.session = intend(self.session)

    @precondition(lambda self: self.sent is not None)
    @rule(rotates=st.booleans())
    def answer(self, rotates: bool) -> None:
        sent = self.sent
        assert sent is not None
        new = (
            self.provider.use(sent.reveal())
            if rotates
            else (sent.reveal() if sent.reveal() == self.provider.live else None)
        )
        self.sent = None
        if new is None:
            failure = after(REJECTION, None, NOW, runway_seconds=None, salt="")
            self.provider.rejected.add(sent.reveal())
            self.session = steps.rejected(self.session, sent, failure)
            return
        tokens = TokenSet(id_token=None, refresh_token=Secret(new) if rotates else None)
        self.session = steps.answered(self.session, sent, tokens, NOW, assumed_life_seconds=None)
        self.accepted.append(new)

    @precondition(lambda self: self.sent is not None)
    @rule(committed=st.booleans(), ambiguous=st.booleans())
    def lose(self, committed: bool, ambiguous: bool) -> None:
        sent = self.sent
        assert sent is not None
        if committed and ambiguous and self.provider.use(sent.reveal()) is None:
            self.provider.rejected.discard(sent.reveal())  # it was rejected, but nobody here has heard so
        self.sent = None
        failure = after(a_failure(ambiguous=ambiguous), None, NOW, runway_seconds=None, salt="")
        self.session = steps.failed(self.session, failure, NOW, ambiguous=ambiguous)

    @rule()
    def crash(self) -> None:
        self.sent = None
        self.session = steps.recovered(self.session, NOW)

    @invariant()
    def the_newest_accepted_token_is_held(self) -> None:
        newest = self.accepted[-1]
        assert self.session.refresh_token is not None
        held = self.session.refresh_token.reveal()
        assert held == newest, "the newest token that was heard is never lost"

    @invariant()
    def ended_means_none_left(self) -> None:
        if self.session.phase is Phase.ENDED:
            assert self.session.token_to_send() is None
            assert self.session.ended


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


def test_an_answer_without_a_refresh_token_keeps_the_present_one() -> None:
    attempting = intend(a_session())
    settled = steps.answered(attempting, Secret("rt-0"), TokenSet(id_token=None), NOW, assumed_life_seconds=None)
    assert settled.refresh_token == Secret("rt-0")
    assert settled.phase is Phase.SETTLED


def test_an_ambiguous_attempt_is_repeated_with_the_same_token() -> None:
    failure = after(a_failure(ambiguous=True), None, NOW, runway_seconds=None, salt="")
    lost = steps.failed(intend(a_session()), failure, NOW, ambiguous=True)
    assert lost.phase is Phase.AMBIGUOUS
    assert lost.token_to_send() == Secret("rt-0")
    assert lost.lost_at == NOW


def test_the_previous_token_is_tried_once_and_only_after_the_newest_was_rejected() -> None:
    failure = after(REJECTION, None, NOW, runway_seconds=None, salt="")
    first = intend(a_session())
    rotated = TokenSet(id_token=None, refresh_token=Secret("rt-1"))
    session = steps.answered(first, Secret("rt-0"), rotated, NOW, assumed_life_seconds=None)
    assert session.token_to_send() == Secret("rt-1")
    session = steps.rejected(intend(session), Secret("rt-1"), failure)
    assert session.token_to_send() == Secret("rt-0")
    session = steps.rejected(intend(session), Secret("rt-0"), failure)
    assert session.phase is Phase.ENDED
    assert session.token_to_send() is None


def test_a_crash_while_attempting_is_read_as_ambiguous() -> None:
    assert steps.recovered(intend(a_session()), NOW).phase is Phase.AMBIGUOUS


def test_what_the_table_does_not_have_is_a_bug() -> None:
    with pytest.raises(steps.ImpossibleTransition):
        intend(intend(a_session()))


def test_every_transition_of_the_docstring_is_in_the_table_and_no_other() -> None:
    assert steps.__doc__ is not None
    rows = [line.split()[:3] for line in steps.__doc__.splitlines() if line.startswith("    ") and "event" not in line]
    told = {(Phase(a), steps.Event(b), Phase(c)) for a, b, c in rows if a in set(Phase)}
    assert told == {(a, b, c) for (a, b), ends in steps.TRANSITIONS.items() for c in ends}
