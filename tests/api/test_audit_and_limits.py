"""Counting: the audit's sums, the token bucket, the shares of a uid."""

from __future__ import annotations

import resource

import pytest

from broker.api.audit import Audit, Given, Refusal
from broker.api.limits import MAX_REMEMBERED_UIDS, Limits, Shares, raise_descriptor_limit
from broker.core.access import Peer
from broker.core.secret import Secret
from tests.api.conftest import Recorder

LIMITS = Limits(audit_burst=3, audit_window_seconds=10.0)
ALICE = Peer(uid=1000, gid=1000, pid=77, unit="a.service")
BOB = Peer(uid=1001, gid=1001, pid=78)
GIVEN = Given("ticket", "front-door", Secret("t"), 7, 99)
REFUSAL = Refusal("GET", "/v1/tickets/garage", "not_allowed", "uid 1000 may not do this")


def counts(events: Recorder, event: str) -> list[object]:
    return [facts["count"] for facts in events.of(event)]


def test_a_vend_is_told_with_its_facts_and_never_with_its_secret() -> None:
    events = Recorder()
    Audit(events, LIMITS).served(ALICE, 0.0, GIVEN)
    assert events.events == [
        (
            "ticket.served",
            {
                "count": 1,
                "uid": 1000,
                "pid": 77,
                "unit": "a.service",
                "ticket": "front-door",
                "fingerprint": Secret("t").fingerprint,
                "generation": 7,
                "remaining_seconds": 99,
            },
        )
    ]


def test_an_id_token_is_told_under_its_account() -> None:
    events = Recorder()
    Audit(events, LIMITS).served(ALICE, 0.0, Given("id_token", "home", Secret("t"), 7, 99))
    assert events.of("id_token.served")[0]["account"] == "home"


def test_what_comes_fast_is_counted_and_the_counts_add_up() -> None:
    events = Recorder()
    audit = Audit(events, LIMITS)
    for i in range(1000):
        audit.served(ALICE, i / 1000, GIVEN)
    assert counts(events, "ticket.served") == [1, 1, 1]
    audit.flush(5.0)
    assert counts(events, "ticket.served") == [1, 1, 1]
    audit.flush(11.0)
    assert counts(events, "ticket.served") == [1, 1, 1, 997]
    assert events.of("ticket.served")[-1]["window_seconds"] == 10
    audit.flush()
    assert counts(events, "ticket.served") == [1, 1, 1, 997]


def test_a_window_that_is_over_is_told_before_the_next_begins() -> None:
    events = Recorder()
    audit = Audit(events, LIMITS)
    for _ in range(5):
        audit.refused(ALICE, 0.0, REFUSAL)
    audit.refused(ALICE, 10.0, REFUSAL)
    assert counts(events, "request.refused") == [1, 1, 1, 2, 1]


def test_a_noisy_peer_does_not_hide_another() -> None:
    events = Recorder()
    audit = Audit(events, LIMITS)
    for _ in range(50):
        audit.refused(ALICE, 0.0, REFUSAL)
    audit.refused(BOB, 0.0, REFUSAL)
    assert [facts["uid"] for facts in events.of("request.refused")] == [1000, 1000, 1000, 1001]


def test_an_endless_path_is_cut_and_a_request_too_many_has_its_own_event() -> None:
    events = Recorder()
    Audit(events, LIMITS).refused(ALICE, 0.0, Refusal("GET", "/" + "a" * 5000, "rate_limited", "too many"))
    assert len(str(events.of("request.limited")[0]["path"])) == 80


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    shares = Shares(Limits(rate_per_second=10, rate_burst=3))
    share = shares.connect(1000, 0.0)
    assert share is not None
    assert [shares.take(share, 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.1)]
    assert shares.take(share, 0.05) == pytest.approx(0.05)
    assert shares.take(share, 0.1001) == 0.0
    assert [shares.take(share, 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.1)]


def test_one_uid_cannot_take_the_places_of_another() -> None:
    shares = Shares(Limits(connections=5, connections_per_uid=2))
    assert [shares.connect(1000, 0.0) is None for _ in range(3)] == [False, False, True]
    other = shares.connect(1001, 0.0)
    assert other is not None
    shares.disconnect(other)
    assert [shares.connect(uid, 0.0) is None for uid in (1001, 1002, 1003, 1004)] == [False, False, False, True]


def test_uids_that_left_are_forgotten_and_those_with_a_debt_are_not() -> None:
    shares = Shares(Limits(rate_per_second=1, rate_burst=2, connections=10_000))
    for uid in range(MAX_REMEMBERED_UIDS):
        share = shares.connect(uid, 0.0)
        assert share is not None
        shares.disconnect(share)
    debtor = shares.connect(5, 10.0)
    assert debtor is not None
    shares.take(debtor, 10.0)
    shares.take(debtor, 10.0)
    shares.disconnect(debtor)
    shares.connect(50_000, 10.5)
    assert len(shares._shares) == 2
    again = shares.connect(5, 10.5)
    assert again is not None
    assert shares.take(again, 10.5) > 0


def test_the_soft_limit_of_descriptors_is_raised_as_far_as_the_hard_one_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        assert raise_descriptor_limit(600) == 600
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, hard)
        assert raise_descriptor_limit(100) == 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
