"""A file that a command writes where others may write, too: whole, and never through what somebody has put there.

Knows paths and modes. The one invariant: at the path is what was there, or the whole new file; a link
or a pipe that lies there is replaced, never followed or filled.
"""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  # the module is imported where something is written


def replace(path: Path, text: str, mode: int) -> None:
    """Write `text` beside `path` (on disk, `mode`), then put it there. Raises: OSError."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:  # also where somebody presses ctrl-C
        draft.unlink(missing_ok=True)
