"""A real daemon with many tickets, in short: the whole table is `python -m tests.benchmarks.many`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.many import measure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_renewal_costs_a_daemon_with_many_tickets_no_more_than_one_with_few(tmp_path: Path) -> None:
    few = measure(tmp_path / "few", 100, life_seconds=20, rest_seconds=0.0)
    many = measure(tmp_path / "many", 1000, life_seconds=20, rest_seconds=0.0)
    assert many.accounts == 10 * few.accounts
    assert many.renewals >= many.tickets
    assert many.own_microseconds <= 1.5 * few.own_microseconds
    assert many.save_seconds / many.renewals <= 1.5 * few.save_seconds / few.renewals
