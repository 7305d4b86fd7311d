"""What the code tells and what is in the vocabulary are the same: found by reading the source.

So no rare event fails at night, and no event is promised to whoever reads the log and never comes.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import broker
from broker.events import EVENTS, check

ROOT = Path(broker.__file__).parent
ABOUT_EVENTS = {"events.py", "hook_words.py"}  # they list them, and say none


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


@cache
def said() -> list[str]:
    """Patterns of all strings of the modules that emit something."""
    texts = [path.read_text() for path in ROOT.rglob("*.py") if path.name not in ABOUT_EVENTS]
    trees = [ast.parse(text) for text in texts if ".emit(" in text]
    return [pattern for tree in trees for node in ast.walk(tree) if (pattern := _pattern(node))]


def _pattern(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part) if isinstance(part, ast.Constant) else "[a-z_]+" for part in node.values)
    return ""


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_of_the_vocabulary_is_emitted_somewhere(event: str) -> None:
    assert any(re.fullmatch(pattern, event) for pattern in said()), f"nobody emits {event}: take it out"


def test_a_word_that_is_not_in_the_code_is_found_out() -> None:
    assert not any(re.fullmatch(pattern, "service.yawned") for pattern in said())
