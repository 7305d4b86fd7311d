from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.resilience_tickets.ten_minutes import run

if TYPE_CHECKING:
    from pathlib import Path


def hold(seconds: float, directory: Path) -> None:
    figures = run(seconds, directory)
    assert figures.misses == 0, figures.failures
    assert figures.calls <= figures.bound, str(figures)
    assert figures.generations > 1, "nothing was renewed: it shows nothing"


@pytest.mark.slow
def test_asked_ten_times_a_second_over_short_lives_nothing_is_missed_and_no_call_too_many(tmp_path: Path) -> None:
    hold(45.0, tmp_path)


@pytest.mark.soak
def test_the_same_for_ten_minutes(tmp_path: Path) -> None:
    hold(600.0, tmp_path)
