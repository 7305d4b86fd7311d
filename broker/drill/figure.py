"""The published figure: a hundred years of one household under ordinary weather, for three seeds, as a table.

`python -m broker.drill.figure` (`make drill-figure`) plays it, a decade at a time (`--life-years`: less), and keeps the
figures of each in a file, so that it can be broken off, gone on with, and played by two processes. Each begins in 2026:
the broker rightly believes no date from long after it was written. The one invariant: nothing in the table is typed in.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from broker.drill.climate import ORDINARY, ordinary
from broker.drill.kept import NOT_ALL, play_kept
from broker.drill.oracle import judge
from broker.drill.world import play

if TYPE_CHECKING:
    from collections.abc import Iterable

    from broker.drill.kept import Figures

Life = tuple[int, int, float, float]  # seed, its number, years, seconds that a ticket lives
DECADE_YEARS = 10.0
BEGIN = "<!-- drill figure, tickets of {} s: made by make drill-figure -->"
END = "<!-- end of the drill figure -->"
HEADINGS = (
    "seed",
    "years",
    "ticket in hand",
    "without, avoidable",
    "callers sent away, avoidable",
    "logins lost (avoidable)",
    "calls / least possible",
    "promises broken",
    "CPU s a year",
)


def lives(seed: int, years: float, ticket_seconds: float, life_years: float = DECADE_YEARS) -> list[Life]:
    """So many years, at most a decade (or `life_years`) each."""
    found: list[Life] = []
    while years > 0:
        found.append((seed, len(found), min(years, life_years), ticket_seconds))
        years -= life_years
    return found


def live(life: Life) -> Figures:
    """Play one life: its figures."""
    seed, number, years, ticket_seconds = life
    begin, script = time.process_time(), ordinary(seed * 1000 + number, years)
    verdict = judge(play(replace(script, household=replace(script.household, ticket_seconds=ticket_seconds))))
    return {
        "seconds": verdict.seconds,
        "covered": verdict.covered_seconds,
        "avoidable_seconds": verdict.avoidable_seconds,
        "avoidable_misses": verdict.avoidable_misses,
        "losses": verdict.losses,
        "avoidable_losses": verdict.avoidable_losses,
        "calls": verdict.calls,
        "least_calls": verdict.least_calls,
        "broken": len(verdict.violations),
        "cpu": time.process_time() - begin,
    }


def row(seed: int, found: Iterable[Figures]) -> tuple[str, ...]:
    """One line of the table: all lives of a seed."""
    mine = [figures for figures in found if figures["play"][0] == seed]

    def sum_of(name: str) -> float:
        return float(sum(figures[name] for figures in mine))

    years = sum(figures["play"][2] for figures in mine)
    return (
        str(seed),
        f"{years:g}",
        f"{100 * sum_of('covered') / sum_of('seconds'):.3f} %",
        f"{sum_of('avoidable_seconds'):.0f} s",
        f"{sum_of('avoidable_misses'):.0f}",
        f"{sum_of('losses'):.0f} ({sum_of('avoidable_losses'):.0f})",
        f"{sum_of('calls'):.0f} / {sum_of('least_calls'):.0f} = {sum_of('calls') / sum_of('least_calls'):.2f}",
        f"{sum_of('broken'):.0f}",
        f"{sum_of('cpu') / years:.1f}",
    )


def table(found: list[Figures], ticket_seconds: float) -> str:
    """All of it, with what was described, as Markdown."""
    weather = ", ".join(f"{kind} {rate:g}" for kind, rate in ORDINARY.items()).replace("_", " ")
    household = f"One door kept warm, tickets of {ticket_seconds:g} s, id tokens of an hour, a person within 6 h."
    rows = [row(seed, found) for seed in sorted({figures["play"][0] for figures in found})]
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{household} Weather, times a year: {weather}.\n\n{text}\n"


def main(arguments: list[str]) -> int:
    """Print the table, or put it into a file between its markers; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m broker.drill.figure")
    parser.add_argument("--years", type=float, default=100.0)
    parser.add_argument("--ticket-seconds", type=float, default=3600.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2, help="processes that play at the same time")
    parser.add_argument("--life-years", type=float, default=DECADE_YEARS, help="the longest that is played in one go")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after so long")
    parser.add_argument("--kept", type=Path, default=Path("build/drill-figure.jsonl"), help="figures of each decade")
    parser.add_argument("--into", type=Path, help="a file whose part between the markers is replaced")
    args = parser.parse_args(arguments)
    wanted = [life for seed in args.seeds for life in lives(seed, args.years, args.ticket_seconds, args.life_years)]
    found = play_kept(wanted, live, args.kept, jobs=args.jobs, seconds=args.seconds, tell=sys.stderr.write)
    if len(found) < len(wanted):
        return NOT_ALL
    text = table(found, args.ticket_seconds)
    if args.into is None:
        sys.stdout.write(text)
    else:
        args.into.write_text(replaced(args.into.read_text("utf-8"), text, args.ticket_seconds), "utf-8")
    return 1 if any(figures["broken"] for figures in found) else 0


def replaced(document: str, text: str, ticket_seconds: float) -> str:
    """The document with what stands between the markers replaced. Raises: ValueError where there are none."""
    marker = BEGIN.format(f"{ticket_seconds:g}")
    before, begin, rest = document.partition(marker)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no place for the figure: {marker} … {END}")
    return f"{before}{marker}\n{text}{END}{after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
