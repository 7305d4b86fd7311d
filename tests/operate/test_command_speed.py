"""The command starts fast: a loose bound here, on a machine that does other things; the figures are the benchmark's."""

from __future__ import annotations

import pytest

from tests.benchmarks.command import measure

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_ticket_costs_little_more_than_an_empty_program() -> None:
    command, empty, cat = measure(rounds=11)
    assert min(command.runs) / min(empty.runs) < 1.6, (command, empty)
    assert cat.median < command.median
