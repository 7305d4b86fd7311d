"""Planted faults: each still fits the code, and the drill finds each again by the script that was kept for it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from broker.drill.hunt import broken
from broker.drill.script import from_json
from tests.drill import faults
from tests.drill.faults import FAULTS, FIRST_SEED, LAST_SEED, PACKAGE, Fault

if TYPE_CHECKING:
    from pathlib import Path

KEPT = faults.kept()
FOUND = [it for it in FAULTS if it.name in KEPT]
LEAST = 25


def test_every_fault_can_be_planted_in_the_code_as_it_is(tmp_path: Path) -> None:
    for number, it in enumerate(FAULTS):
        copy = tmp_path / str(number)
        (copy / it.file).parent.mkdir(parents=True)
        shutil.copy(PACKAGE / it.file, copy / it.file)
        it.plant(copy)


def test_every_fault_was_found_within_1000_seeds() -> None:
    assert len(FOUND) == len(FAULTS) >= LEAST
    assert all(FIRST_SEED <= KEPT[it.name]["seed"] < LAST_SEED for it in FOUND)


@pytest.mark.slow
@pytest.mark.parametrize("it", FOUND, ids=[it.name for it in FOUND])
def test_a_planted_fault_is_found_by_its_kept_script_and_the_clean_code_passes_it(it: Fault, tmp_path: Path) -> None:
    kept = KEPT[it.name]
    found = faults.replay(faults.copy_of_the_package(tmp_path, it), kept["script"])
    assert found is not None, "the drill no longer notices it"
    assert set(found["rules"]) & set(kept["rules"])
    assert any("VIOLATION" in line for line in found["log"]), "the log around it is told"
    assert broken(from_json(json.dumps(kept["script"]))) == set()


@pytest.mark.soak
@pytest.mark.parametrize("it", FAULTS, ids=[it.name for it in FAULTS])
def test_a_planted_fault_is_hunted_down(it: Fault) -> None:
    assert faults.hunt(it, FIRST_SEED, LAST_SEED) is not None
