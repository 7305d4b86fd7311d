"""Hostile months by the hundred: `python -m broker.drill.months FIRST LAST` (`make drill-months`), seeds [FIRST, LAST).

What each came to is kept in a file, so that a thousand can be played in pieces; a seed that broke a promise is taken
to `broker.drill.hunt`, which shrinks it. The one invariant: what is summed up was played by one program.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from broker.drill.climate import hostile_month
from broker.drill.kept import NOT_ALL, play_kept, source
from broker.drill.oracle import judge
from broker.drill.world import play

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.drill.kept import Figures


def month(seed: int) -> Figures:
    """Play one: what it came to. What the drill's services raise counts as broken."""
    begin = time.process_time()
    try:
        seen = play(hostile_month(seed))
        verdict = judge(seen)
    except Exception as error:  # noqa: BLE001 -- a month that does not end well is a finding like any other
        return {"broken": [f"it ends with {error!r}"], "cpu": time.process_time() - begin}
    return {
        "avoidable_misses": verdict.avoidable_misses,
        "avoidable_losses": verdict.avoidable_losses,
        "avoidable_seconds": verdict.avoidable_seconds,
        "misses": verdict.misses,
        "losses": verdict.losses,
        "calls": verdict.calls,
        "broken": sorted({violation.rule for violation in verdict.violations}),
        "log": seen.digest,
        "cpu": time.process_time() - begin,
    }


def summary(found: Sequence[Figures]) -> str:
    """All of it in words."""

    def sum_of(name: str) -> float:
        return float(sum(figures.get(name, 0) for figures in found))

    unclean = [figures for figures in found if figures["broken"]]
    lines = [
        f"{len(found)} months, program {source()}: {sum_of('calls'):.0f} calls, {len(unclean)} with a broken promise",
        f"callers sent away: {sum_of('misses'):.0f}, who could be served: {sum_of('avoidable_misses'):.0f}",
        f"logins lost: {sum_of('losses'):.0f}, that could be kept: {sum_of('avoidable_losses'):.0f}",
        f"{sum_of('cpu') / max(1, len(found)):.1f} s of CPU a month",
        *(f"seed {figures['play']}: {', '.join(figures['broken'])}" for figures in unclean),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Play those that are not kept yet, and sum up; 1 where a promise was broken, 3 where some are left."""
    parser = argparse.ArgumentParser(prog="python -m broker.drill.months")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, help="the first that is not played")
    parser.add_argument("--jobs", type=int, default=2, help="processes that play at the same time")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after so long")
    parser.add_argument("--kept", type=Path, default=Path("build/drill-months.jsonl"), help="what each came to")
    args = parser.parse_args(arguments)
    seeds = range(args.first, args.last)
    found = play_kept(seeds, month, args.kept, jobs=args.jobs, seconds=args.seconds, tell=sys.stderr.write)
    sys.stdout.write(summary(found))
    if any(figures["broken"] for figures in found):
        return 1
    return 0 if len(found) == len(seeds) else NOT_ALL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
