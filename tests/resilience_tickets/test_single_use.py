from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.resilience_tickets.single_use import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_no_ticket_is_handed_out_twice_however_often_the_daemon_is_killed(tmp_path: Path) -> None:
    figures = run(12.0, tmp_path)
    assert figures.twice == 0, str(figures)
    assert figures.kills >= 3, str(figures)
    assert figures.handed > 50, "hardly anything was handed out: it shows nothing"


@pytest.mark.soak
def test_the_same_for_five_minutes(tmp_path: Path) -> None:
    figures = run(300.0, tmp_path)
    assert figures.twice == 0, str(figures)
