"""Long plays in pieces: the figures of each are kept in a file, line by line, and what is there is not played again.

Knows no script; `work` is done in processes of its own, some at the same time. The one invariant: figures that another
program made are not used, so that all that are given back are of one.
"""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Figures = dict[str, Any]
P = TypeVar("P")
NOT_ALL = 3  # the exit code where some are not played yet


def source() -> str:
    """A digest of the program."""
    package = Path(__file__).parents[1]
    texts = b"".join(path.read_bytes() for path in sorted(package.rglob("*.py")))
    return hashlib.sha256(texts).hexdigest()[:16]


def play_kept(
    wanted: Sequence[P],
    work: Callable[[P], Figures],
    kept: Path,
    *,
    jobs: int,
    seconds: float,
    tell: Callable[[str], object],
) -> list[Figures]:
    """The figures of all that are wanted and played by now; after so many `seconds` none is begun any more.

    `tell` hears of each, in words.
    """
    program = source()
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    found = {json.dumps(it["play"]): it for it in lines if it["program"] == program}
    left = [play for play in wanted if json.dumps(play) not in found]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as file:
        for play, figures in _played(left, work, jobs, seconds):
            row = found[json.dumps(play)] = {"play": play, **figures, "program": program}
            file.write(json.dumps(row) + "\n")
            file.flush()
            have = sum(json.dumps(it) in found for it in wanted)
            tell(f"{have} of {len(wanted)}: {play}, {figures['cpu']:.1f} s of CPU\n")
    return [found[json.dumps(play)] for play in wanted if json.dumps(play) in found]


def _played(left: list[P], work: Callable[[P], Figures], jobs: int, seconds: float) -> Iterator[tuple[P, Figures]]:
    """Each as it is done; a new one is begun where one has ended."""
    until, waiting = time.monotonic() + seconds, iter(left)
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(work, play): play for play in islice(waiting, jobs)}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
            if time.monotonic() < until:
                running |= {pool.submit(work, play): play for play in islice(waiting, jobs - len(running))}
