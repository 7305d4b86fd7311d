"""The README as data: its chapters and the code in them, so that tests run what stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.e2e.daemon import ROOT


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text, and the last words in bold before it."""

    language: str
    text: str
    label: str


def chapter(title: str) -> str:
    """The text of one `## ` chapter."""
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no chapter {title}"
    return found[1]


def blocks(title: str) -> list[Block]:
    """The fenced blocks of a chapter."""
    found = []
    label = ""
    for part in re.finditer(r"^\*\*(.+?)\*\*|^```(\w+)\n(.*?)^```$", chapter(title), re.MULTILINE | re.DOTALL):
        if part[1]:
            label = part[1]
        else:
            found.append(Block(part[2], part[3], label))
    return found


def rows(title: str) -> list[list[str]]:
    """The cells of the first table of a chapter, without its head."""
    lines = [line for line in chapter(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
