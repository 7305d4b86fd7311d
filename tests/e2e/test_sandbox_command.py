"""`eliot-broker sandbox --once`, the first thing a newcomer types: a ticket on stdout, and no error on the way."""

from __future__ import annotations

import json

import pytest

from tests.operate.command import run


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["partner", "b2c"])
def test_one_ticket_is_printed_and_nothing_is_told_that_looks_wrong(provider: str) -> None:
    done = run("sandbox", "--once", "--provider", provider)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stdout.count(".") == 2, "a JWT"
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {each["level"] for each in told} == {"info"}
    assert any(line.startswith("logged in as ") for line in done.stderr.splitlines())
