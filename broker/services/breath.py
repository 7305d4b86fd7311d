"""How long work in the loop gives way: between two slices everybody else has a turn.

Knows nothing. The one invariant: it waits for nobody and for no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

SLICE = 32  # items of some 10 to 60 microseconds each between two breaths


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def breathe() -> None:
    """Let every other task have its turn."""
    await _Turn()
