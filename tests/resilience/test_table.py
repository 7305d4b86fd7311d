"""README's table "What happens when …": every row has a test of the same name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADING = "## What happens when …"
FEWEST_ROWS = 25


def situations(readme: str) -> list[str]:
    """The first cell of every row of the table."""
    section = readme.partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("|")]
    return rows[2:]  # the head and the line under it


def name_of(situation: str) -> str:
    """The test that shows what happens: `the disk is full` → `test_the_disk_is_full`."""
    words = re.findall(r"[a-z0-9]+", situation.lower().replace("'", "").replace("`", ""))
    return "_".join(["test", *words])


def names_of_all_tests() -> set[str]:
    """Every test function of the project."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


@pytest.mark.slow
def test_every_row_of_the_table_has_a_test_of_the_same_name() -> None:
    rows = situations((ROOT / "README.md").read_text())
    assert len(rows) >= FEWEST_ROWS
    assert len(set(rows)) == len(rows)
    known = names_of_all_tests()
    assert [row for row in rows if name_of(row) not in known] == []


@pytest.mark.slow
def test_a_row_without_a_test_is_found_out() -> None:
    text = f"\n{HEADING}\n\n| when | then |\n| --- | --- |\n| the moon falls down | nothing |\n\n## More\n| a | b |\n"
    assert situations(text) == ["the moon falls down"]
    assert name_of("the moon falls down") not in names_of_all_tests()
