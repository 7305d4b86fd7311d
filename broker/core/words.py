"""Numbers in sentences for people: `1 ticket`, `2 tickets`.

Pure. The one invariant: a count and its noun agree.
"""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A count with its noun, which takes an s for every number but 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
