"""Long plays in pieces, and the hostile months that are played so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from broker.drill import months
from broker.drill.kept import play_kept, source

if TYPE_CHECKING:
    from pathlib import Path


def square(number: int) -> dict[str, Any]:
    return {"square": number * number, "cpu": 0.0}


def played(wanted: range, kept: Path, *, seconds: float) -> tuple[list[int], int]:
    """The squares by now, and how many of them were worked out for it."""
    told: list[str] = []
    found = play_kept(wanted, square, kept, jobs=2, seconds=seconds, tell=told.append)
    return [figures["square"] for figures in found], len(told)


def test_what_is_broken_off_is_gone_on_with_and_nothing_is_played_twice(tmp_path: Path) -> None:
    kept = tmp_path / "build" / "kept.jsonl"
    assert played(range(5), kept, seconds=0.0) == ([0, 1], 2)
    assert played(range(5), kept, seconds=60.0) == ([0, 1, 4, 9, 16], 3)
    assert played(range(5), kept, seconds=60.0) == ([0, 1, 4, 9, 16], 0)


def test_figures_of_another_program_are_not_used(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    other = {"play": 1, "square": 77, "cpu": 0.0, "program": "another"}
    kept.write_text(json.dumps(other) + "\n", "utf-8")
    assert played(range(1, 2), kept, seconds=60.0) == ([1], 1)
    assert [json.loads(line)["program"] for line in kept.read_text("utf-8").splitlines()] == ["another", source()]


def test_months_are_summed_up_and_those_with_a_broken_promise_named(tmp_path: Path, capsys: Any) -> None:
    kept = tmp_path / "kept.jsonl"
    clean = {"play": 1, "avoidable_misses": 0, "misses": 3, "calls": 90, "broken": [], "cpu": 2.0, "program": source()}
    unclean = {**clean, "play": 2, "broken": ["no call is wasted"]}
    raised = {"play": 3, "broken": ["it ends with KeyError(1)"], "cpu": 2.0, "program": source()}
    kept.write_text("".join(json.dumps(row) + "\n" for row in (clean, unclean, raised)), "utf-8")
    assert months.main(["1", "2", "--kept", str(kept)]) == 0
    assert months.main(["1", "4", "--kept", str(kept)]) == 1
    told = capsys.readouterr().out
    assert "callers sent away: 6, who could be served: 0" in told
    assert "2 with a broken promise" in told
    assert "seed 2: no call is wasted" in told
    assert "seed 3: it ends with KeyError(1)" in told
