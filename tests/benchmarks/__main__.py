"""`make bench`: everything that is measured, printed, and written as a chapter of the README.

`python -m tests.benchmarks [FILE]`, where FILE is the chapter.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path

import aiohttp

from tests.benchmarks import footprint, scale, vend


def main() -> int:
    """Measure and tell; 1 where a target is missed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        rounds, commands = vend.measure(folder)
        parts = [*vend.table(rounds), "", *vend.verdicts(rounds), "", *commands, ""]
        parts += [*footprint.tell(footprint.measure(folder)), "", *scale.tell(folder)]
    text = "\n".join([*HEAD, machine(), "", *parts, ""])
    print(text)
    for path in sys.argv[1:]:
        Path(path).write_text(text)
    return int("MISSED" in text)


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
