"""Unit files into their places and out of them: compared first, asked before another's text is replaced, atomic.

Knows no template. The one invariant: running it twice changes nothing the second time.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SECONDS = 60


class PlacingError(Exception):
    """A file or a step failed; the message says which, with what."""


def place(rendered: Mapping[str, str], root: Path, may_replace: Callable[[Path], bool]) -> dict[str, str]:
    """Write the files below `root`; what was done with each: `written`, `replaced`, `unchanged`, `kept`.

    `may_replace` is asked for each that is there with another text. Raises: PlacingError.
    """
    done = {}
    for name, text in rendered.items():
        path = root / name
        before = _read(path)
        if before == text:
            done[str(path)] = "unchanged"
        elif before is not None and not may_replace(path):
            done[str(path)] = "kept"
        else:
            _write(path, text)
            done[str(path)] = "written" if before is None else "replaced"
    return done


def remove(rendered: Mapping[str, str], root: Path) -> dict[str, str]:
    """Remove the files; `removed` or `not there` for each. Raises: PlacingError."""
    done = {}
    for name in rendered:
        path = root / name
        try:
            path.unlink()
        except FileNotFoundError:
            done[str(path)] = "not there"
        except OSError as error:
            raise PlacingError(f"{path} cannot be removed: {_reason(error)}") from None
        else:
            done[str(path)] = "removed"
    return done


def run(command: Sequence[str]) -> None:
    """Run one of systemd's own tools. Raises: PlacingError with what it said."""
    try:
        ended = subprocess.run(  # noqa: S603 -- commands of ours, without a shell
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        raise PlacingError(f"{command[0]} is not there: is this a machine with systemd?") from None
    except subprocess.TimeoutExpired:
        raise PlacingError(f"`{' '.join(command)}` did not end within {SECONDS} s") from None
    if ended.returncode != 0:
        raise PlacingError(f"`{' '.join(command)}` failed with {ended.returncode}: {ended.stderr.strip()}")


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PlacingError(f"{path} cannot be read: {_reason(error)}") from None


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.eliot-broker.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with draft.open("x", encoding="utf-8") as file:  # never through a link that lies there
            file.write(text)
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise PlacingError(f"{path} cannot be written: {_reason(error)}") from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return ((error.strerror if isinstance(error, OSError) else "it is no text") or "unknown reason").lower()
