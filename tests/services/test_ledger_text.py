from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from broker.core import quota
from broker.core.instant import Instant
from broker.core.quota import Ledger
from broker.services.ledger_text import LedgerText, ledger_of

Step = tuple[str, float]
STEPS = st.lists(st.tuples(st.sampled_from(["call", "stop", "resume", "another"]), st.floats(0.0, 90_000.0)))


def at(seconds: float) -> Instant:
    return Instant("boot", seconds, 1_795_003_200.0 + seconds)


@given(STEPS)
def test_what_is_kept_of_the_text_before_never_shows_in_the_text_after(steps: list[Step]) -> None:
    seconds, text, ledger = 0.0, LedgerText(), Ledger(at(0.0))
    for what, later in steps:
        seconds += later
        if what == "another":  # read anew: its slots are equal, and none of them the same
            ledger = ledger_of(json.loads(text.of(ledger)))
        elif what == "call":
            ledger = quota.recorded(ledger, at(seconds))
        else:
            ledger = quota.stopped(ledger, at(seconds), 600.0) if what == "stop" else quota.resumed(ledger)
        assert text.of(ledger) == LedgerText().of(ledger)
        assert ledger_of(json.loads(text.of(ledger))) == ledger


def test_a_ledger_that_begins_anew_is_not_told_with_calls_of_the_one_before() -> None:
    text = LedgerText()
    text.of(quota.recorded(Ledger(at(0.0)), at(10.0), calls=7))
    assert ledger_of(json.loads(text.of(Ledger(at(20.0))))) == Ledger(at(20.0))


def test_a_call_costs_the_text_of_its_own_slot_and_no_other() -> None:
    """On a full day too, when the oldest slot is dropped."""
    text, ledger = LedgerText(), Ledger(at(0.0))
    for number in range(700):
        ledger = quota.recorded(ledger, at(200.0 * number))
        before = list(text._texts)
        text.of(ledger)
        assert sum(all(new is not old for old in before) for new in list(text._texts)[-3:]) == 1
        assert all(new is old for new, old in zip(text._texts, before[-len(text._texts) + 1 :], strict=False))
