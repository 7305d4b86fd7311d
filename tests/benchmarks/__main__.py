"""`make bench`: everything that is measured, printed, and written as a chapter of the README.

`python -m tests.benchmarks [PART...] [--readme FILE]`; a PART is one of `PARTS`, without any: all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.benchmarks import footprint, many, scale, vend, watchers

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[Path], list[str]]] = {
    "vend": vend.tell,
    "commands": vend.tell_commands,
    "footprint": footprint.tell,
    "tickets": scale.tell,
    "daemon": many.tell,
    "watchers": watchers.tell,
}


def main() -> int:
    """Measure and tell; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--readme", type=Path, help="the file whose chapter is written anew")
    wanted = parser.parse_args()
    if unknown := sorted({*wanted.parts} - {*PARTS}):
        parser.error(f"no such part: {', '.join(unknown)}")
    lines: list[str] = []
    for name in wanted.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            told = ["", *PARTS[name](Path(folder))]
        print(*told, sep="\n", flush=True)
        lines += told
    text = "\n".join([*HEAD, machine(), *lines, ""])
    print("", machine(), sep="\n")
    if wanted.readme is not None:
        wanted.readme.write_text(with_chapter(wanted.readme.read_text(), text))
    return int("MISSED" in text)


def with_chapter(document: str, chapter: str) -> str:
    """The document with its chapter of the same title replaced."""
    before, title, rest = document.partition(HEAD[0] + "\n")
    if not title:
        raise ValueError(f"no chapter {HEAD[0]!r}")
    _, following, after = rest.partition("\n## ")
    return before + chapter + following + after


def machine() -> str:
    """The machine in one line."""
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    return (
        f"Machine: {cpu}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"aiohttp {aiohttp.__version__}; load average at the end {os.getloadavg()[1]:.1f} (5 minutes)."
    )


HEAD = """\
## How fast, how small

Made by `make bench`. Servers on one core, the load client (C, `tests/benchmarks/load.c`) on the other, one run,
medians of 5 interleaved rounds; microseconds where nothing else is said, CPU a request. Ratios are the medians of the
ratios within each round. Open loop: latency from when a request was due, so that a stall counts for all it held up.
Ours in production configuration: rules by user and group, audit, metrics, limits.
""".splitlines()

if __name__ == "__main__":
    sys.exit(main())
