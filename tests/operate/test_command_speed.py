"""`ticket` starts fast: judged beside an argparse program that does nothing, both taking turns in one run."""

from __future__ import annotations

import pytest

from tests.benchmarks.command import measure

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ALLOWED = 60 / 46  # what the product promises beside an argparse program on the machine that it was promised for


def test_ticket_costs_little_more_than_an_empty_program() -> None:
    command, empty, cat = measure(rounds=21)
    assert command.median / empty.median <= ALLOWED, (command, empty)
    assert cat.median < command.median
