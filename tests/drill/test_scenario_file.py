"""A scenario that a user wrote: what is understood, and what is refused with which words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.drill.oracle import judge
from broker.drill.rehearsal import from_file
from broker.drill.scenario_file import VALUES, BadScenario
from broker.drill.script import DAY, HOUR, KINDS, Door, Happening, Household
from broker.drill.world import play

if TYPE_CHECKING:
    from pathlib import Path

OURS = Household((Door("garden"),))
GOOD = {"at_seconds": HOUR, "kind": "outage", "lasts_seconds": 1800, "values": {"form": "503", "where": "api"}}


def written(directory: Path, document: object) -> Path:
    path = directory / "day.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def test_happenings_alone_are_a_scenario_for_ones_own_household(tmp_path: Path) -> None:
    script = from_file(written(tmp_path, {"happenings": [GOOD]}), OURS, seed=3)
    assert script.household == OURS
    assert script.happenings == (Happening(HOUR, "outage", 1800, {"form": "503", "where": "api"}),)
    assert (script.seed, script.seconds) == (3, HOUR + 1800 + DAY / 2)
    assert judge(play(script)).violations == ()


def test_what_the_drill_prints_as_its_script_is_a_scenario(tmp_path: Path) -> None:
    script = from_file(written(tmp_path, {"happenings": [GOOD]}), OURS)
    assert from_file(written(tmp_path, script.to_json()), Household()) == script


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "no JSON"),
        ([], "must be an object with a list"),
        ({"happenings": {}}, "must be an object with a list"),
        ({"happenings": [], "weather": 1}, "nothing is called weather; there is happenings, seconds"),
        ({"happenings": [], "seconds": -1}, "seconds must be seconds, 0 or more, not -1"),
        ({"happenings": [], "household": {"x": 1}}, "household: nothing is called x"),
        ({"happenings": [], "household": 1}, "household must be an object"),
        ({"happenings": [], "household": {"doors": 1}}, "not understood"),
        ({"happenings": ["rain"]}, "happening 1: must be an object"),
        ({"happenings": [GOOD, {"at_seconds": 1, "kind": "rain"}]}, "happening 2: kind must be one of outage"),
        ({"happenings": [{**GOOD, "at": 1}]}, "happening 1: nothing is called at; there is at_seconds"),
        ({"happenings": [{"kind": "outage"}]}, "at_seconds must be seconds, 0 or more, not null"),
        ({"happenings": [{**GOOD, "at_seconds": "soon"}]}, 'not "soon"'),
        ({"happenings": [{**GOOD, "lasts_seconds": 1e300}]}, "lasts_seconds must be"),
        ({"happenings": [{**GOOD, "values": []}]}, "values must be an object"),
        ({"happenings": [{**GOOD, "values": {"form": "gone"}}]}, "form must be one of refused, timeout, 408"),
        ({"happenings": [{**GOOD, "values": {"how": 1}}]}, "values: nothing is called how; there is where, form"),
        ({"happenings": [{"at_seconds": 1, "kind": "slow"}]}, "a slow needs values with seconds"),
        ({"happenings": [{"at_seconds": 1, "kind": "portal", "values": {"x": 1}}]}, "there is nothing to say"),
    ],
)
def test_what_cannot_be_played_is_named(tmp_path: Path, document: object, words: str) -> None:
    with pytest.raises(BadScenario) as refused:
        from_file(written(tmp_path, document), OURS)
    assert words in str(refused.value)
    assert "day.json" in str(refused.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="cannot be read: No such file"):
        from_file(tmp_path / "none.json", OURS)


def test_every_kind_that_takes_values_exists() -> None:
    assert set(VALUES) <= set(KINDS)
