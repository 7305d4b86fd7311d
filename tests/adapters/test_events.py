"""Whatever the code tells is in the vocabulary: found by reading the source, so that no rare event fails at night."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import broker
from broker.events import EVENTS, check

ROOT = Path(broker.__file__).parent


def emissions() -> list[tuple[str, str, tuple[str, ...]]]:
    """Place, event and facts of every `….emit("noun.participle", fact=…)` in the program."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit"):
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                facts = tuple(keyword.arg for keyword in node.keywords if keyword.arg is not None)
                found.append((f"{file.relative_to(ROOT)}:{node.lineno}", str(node.args[0].value), facts))
    return found


@pytest.mark.parametrize(("place", "event", "facts"), emissions())
def test_what_is_told_is_in_the_vocabulary(place: str, event: str, facts: tuple[str, ...]) -> None:
    assert check(event, facts) is EVENTS[event], place
