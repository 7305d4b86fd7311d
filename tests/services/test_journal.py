"""The journal: on disk before anybody acts on it, and never for another login."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.failure import after
from broker.core.instant import Instant, Lifetime, Span
from broker.core.secret import Secret
from broker.core.session import HeldToken, Mark, Phase, Session
from broker.errors import Code, Remedy, StoreDamaged, StoreUnavailable, UpstreamUnavailable
from broker.services.documents import decode_session, encode_session, load
from broker.services.journal import Journal, LoginGone
from tests.services.fakes import MemoryStore

NOW = Instant("boot", 1000.0, 1_795_003_200.0)
FULL = StoreUnavailable("state file account-home.sealed not saved: no space left on device (ENOSPC)")
instants = st.builds(Instant, st.text(max_size=8), st.floats(0, 1e9), st.one_of(st.none(), st.floats(0, 4e9)))
spans = st.builds(Span, instants, st.floats(0, 1e9))
secrets = st.builds(Secret, st.text(max_size=20))
lives = st.builds(Lifetime, st.integers(0, 2**40), st.integers(0, 2**40), spans)
helds = st.one_of(st.none(), st.builds(HeldToken, secrets, lives, st.integers(0, 2**60)))


def a_session(login_id: str = "login", token: str = "rt-0") -> Session:
    return Session(
        login_id=login_id,
        binding="app",
        issuer="https://issuer",
        subject="mario",
        display_name="Mario",
        logged_in=NOW,
        refresh_token=Secret(token),
    )


def a_journal(store: MemoryStore) -> Journal:
    return Journal("account-home", store, lambda: NOW)


def with_token(token: str) -> Session:
    return replace(a_session(), refresh_token=Secret(token))


@given(
    session=st.builds(
        Session,
        login_id=st.text(),
        binding=st.text(),
        issuer=st.text(),
        subject=st.text(),
        display_name=st.one_of(st.none(), st.text()),
        logged_in=instants,
        phase=st.sampled_from(Phase),
        refresh_token=st.one_of(st.none(), secrets),
        refresh_token_life=st.one_of(st.none(), spans),
        previous_refresh_token=st.one_of(st.none(), secrets),
        rejected=st.lists(st.text(), max_size=3).map(tuple),
        lost_at=st.one_of(st.none(), instants),
        ended=st.one_of(st.none(), st.text()),
        id_token=helds,
        access_token=helds,
        warned=st.lists(st.text(), max_size=3).map(tuple),
    ),
    saves=st.integers(0, 2**40),
)
def test_what_is_written_is_what_is_read(session: Session, saves: int) -> None:
    failure = after(UpstreamUnavailable("down", service="x"), None, NOW, runway_seconds=None, salt="")
    session = replace(session, failure=failure)
    assert decode_session(load(encode_session(session, NOW, saves))) == (session, NOW, saves)


@pytest.mark.parametrize(("version", "than"), [(0, "older"), (2, "newer")])
def test_a_document_of_another_version_is_not_touched(version: int, than: str) -> None:
    store = MemoryStore()
    store.documents["account-home"] = before = b'{"version": %d}' % version
    with pytest.raises(StoreUnavailable, match=f"version {version} is {than} than this program's 1"):
        a_journal(store).open()
    assert store.documents == {"account-home": before}


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"version": 1}', b"\xff", b'{"version": 1, "saved": 5}'])
def test_a_document_that_opens_and_says_nothing_sensible_is_set_aside(content: bytes) -> None:
    store = MemoryStore()
    store.documents["account-home"] = content
    with pytest.raises(StoreDamaged, match=r"set aside as account-home\.damaged-1"):
        a_journal(store).open()
    assert store.documents == {"account-home.damaged-1": content}


def test_a_change_is_on_disk_when_update_returns() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    journal.update("login", lambda _: with_token("rt-1"))
    read = a_journal(store)
    read.open()
    assert read.session == with_token("rt-1")


def test_a_change_meant_for_another_login_is_dropped() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session("second"))
    with pytest.raises(LoginGone):
        journal.update("first", lambda _: with_token("rt-late"))
    assert journal.session == a_session("second")


def test_a_late_answer_cannot_undo_a_logout() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    epoch = journal.epoch
    journal.replace(None)
    with pytest.raises(LoginGone):
        journal.update("login", lambda _: with_token("rt-late"))
    with pytest.raises(LoginGone):
        journal.replace(a_session("late"), if_epoch=epoch)
    assert journal.session is None
    assert store.documents == {}


def test_where_the_disk_refuses_a_change_holds_in_memory_and_is_written_later() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    store.refuse = FULL
    journal.update("login", lambda _: with_token("rt-1"))
    assert journal.session == with_token("rt-1")
    assert (journal.unsaved, journal.trouble) == (True, FULL)
    store.refuse = None
    journal.flush()
    assert (journal.unsaved, journal.trouble) == (False, None)
    read = a_journal(store)
    read.open()
    assert read.session == with_token("rt-1")


def test_what_must_be_saved_does_not_hold_where_the_disk_refuses() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    store.refuse = FULL
    with pytest.raises(StoreUnavailable):
        journal.update("login", lambda _: with_token("rt-1"), must_save=True)
    assert journal.session == a_session()


def test_a_login_or_logout_that_cannot_be_written_changes_nothing() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    store.refuse = FULL
    for other in (a_session("second"), None):
        with pytest.raises(StoreUnavailable):
            journal.replace(other)
        assert journal.session == a_session()


def test_an_attempt_without_an_outcome_is_read_as_ambiguous() -> None:
    store = MemoryStore()
    a_journal(store).replace(replace(a_session(), phase=Phase.ATTEMPTING))
    journal = a_journal(store)
    journal.open()
    assert journal.session is not None
    assert journal.session.phase is Phase.AMBIGUOUS
    assert journal.session.lost_at == NOW


def test_a_copy_that_was_put_back_is_found_out_by_the_mark_kept_elsewhere() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    old = dict(store.documents)
    journal.update("login", lambda _: with_token("rt-1"))
    journal.update("login", lambda _: with_token("rt-2"))
    mark = journal.mark()
    assert mark == Mark("login", 3)
    store.documents = old
    restored = a_journal(store)
    restored.open()
    restored.compare(mark)
    assert restored.put_back == "2 later saves of this login are missing from it"


def test_the_mark_of_another_login_or_of_an_older_save_says_nothing() -> None:
    store = MemoryStore()
    journal = a_journal(store)
    journal.replace(a_session())
    for mark in (None, Mark("another", 99), Mark("login", 1), Mark("login", 0)):
        journal.compare(mark)
        assert journal.put_back is None


def test_a_refused_failure_keeps_its_code_and_remedy() -> None:
    failure = after(FULL, None, NOW, runway_seconds=None, salt="")
    assert (failure.code, failure.remedy) == (Code.STATE_UNAVAILABLE, Remedy.FIX)
