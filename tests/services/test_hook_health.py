"""The hook's health: since when, how often, how it last failed, and that one good run ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import Code
from broker.services.hook_health import HookHealth

if TYPE_CHECKING:
    from broker.core.trouble import Trouble


def test_it_counts_failures_since_the_first_and_says_the_last() -> None:
    moments = iter((100.7, 200.0))
    health = HookHealth(lambda: next(moments))
    health.failed("/bin/tell", "login.required", "/bin/tell exited with 3")
    health.failed("/bin/tell", "ticket.unavailable", "/bin/tell took longer than 10 s and was killed")
    trouble = health.trouble
    assert trouble is not None
    assert (trouble.since_seconds, trouble.count, trouble.error.code) == (100, 2, Code.CONFIG_ERROR)
    assert trouble.error.message.endswith("took longer than 10 s and was killed; not told: ticket.unavailable")
    assert "BROKER_TEXT=test /bin/tell;" in str(trouble.error.hint)


def test_one_run_that_works_ends_the_trouble_and_the_next_begins_anew() -> None:
    health = HookHealth(lambda: 100.0)
    health.failed("/bin/tell", "login.required", "it exited with 3")
    health.worked()
    assert trouble_of(health) is None
    health.failed("/bin/tell", "login.required", "it exited with 3")
    again = trouble_of(health)
    assert again is not None
    assert again.count == 1


def trouble_of(health: HookHealth) -> Trouble | None:
    return health.trouble
