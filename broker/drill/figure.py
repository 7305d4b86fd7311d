"""The published figure: a hundred years of one household under ordinary weather, for three seeds, as a table.

`python -m broker.drill.figure` prints it (`--years`, `--seeds`). Years are lived in decades that each begin in 2026:
the broker rightly believes no date from long after it was written. The one invariant: nothing in the table is typed in.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker.drill.climate import ORDINARY, ordinary
from broker.drill.oracle import Judgement, judge
from broker.drill.world import play

if TYPE_CHECKING:
    from broker.drill.script import Script

DECADE_YEARS = 10.0
HEADINGS = (
    "seed",
    "years",
    "ticket in hand",
    "avoidable misses",
    "logins lost (avoidable)",
    "calls / least possible",
    "promises broken",
    "CPU minutes",
)


@dataclass(slots=True)
class Sum:
    """The figures of several lives together."""

    seconds: float = 0.0
    covered_seconds: float = 0.0
    avoidable_misses: int = 0
    losses: int = 0
    avoidable_losses: int = 0
    calls: int = 0
    least_calls: int = 0
    broken: int = 0

    def add(self, verdict: Judgement) -> None:
        """One more life."""
        self.seconds += verdict.seconds
        self.covered_seconds += verdict.covered_seconds
        self.avoidable_misses += verdict.avoidable_misses + (verdict.avoidable_seconds > 0)
        self.losses += verdict.losses
        self.avoidable_losses += verdict.avoidable_losses
        self.calls += verdict.calls
        self.least_calls += verdict.least_calls
        self.broken += len(verdict.violations)


def lives(seed: int, years: float, ticket_seconds: float) -> list[Script]:
    """The scripts of so many years, at most a decade each."""
    found, number = [], 0
    while years > 0:
        script = ordinary(seed * 1000 + number, min(years, DECADE_YEARS))
        found.append(replace(script, household=replace(script.household, ticket_seconds=ticket_seconds)))
        years, number = years - DECADE_YEARS, number + 1
    return found


def row(seed: int, years: float, ticket_seconds: float) -> tuple[str, ...]:
    """One line of the table."""
    begin, total = time.process_time(), Sum()
    for script in lives(seed, years, ticket_seconds):
        total.add(judge(play(script)))
    minutes = (time.process_time() - begin) / 60
    return (
        str(seed),
        f"{years:g}",
        f"{100 * total.covered_seconds / total.seconds:.3f} %",
        str(total.avoidable_misses),
        f"{total.losses} ({total.avoidable_losses})",
        f"{total.calls} / {total.least_calls} = {total.calls / total.least_calls:.2f}",
        str(total.broken),
        f"{minutes:.1f}",
    )


def main(arguments: list[str]) -> int:
    """Print the table; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m broker.drill.figure")
    parser.add_argument("--years", type=float, default=100.0)
    parser.add_argument("--ticket-seconds", type=float, default=3600.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args(arguments)
    weather = ", ".join(f"{kind} {rate:g}" for kind, rate in ORDINARY.items())
    tell(f"one door kept warm, tickets of {args.ticket_seconds:g} s, id tokens of an hour; a year's weather: {weather}")
    tell("| " + " | ".join(HEADINGS) + " |\n|" + " --- |" * len(HEADINGS))
    broken = 0
    for seed in args.seeds:
        cells = row(seed, args.years, args.ticket_seconds)
        broken += int(cells[6])
        tell("| " + " | ".join(cells) + " |")
    return 1 if broken else 0


def tell(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
