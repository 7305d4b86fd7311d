"""Plays hostile months, seed after seed, until one of them breaks a promise: `python -m broker.drill.hunt FIRST LAST`.

Prints the seed and the rules, and exits 1; or nothing, and exits 0. What the drill's services raise counts as broken.
It is run against a copy of the package with a fault planted in it, in a process of its own.
"""

from __future__ import annotations

import sys

from broker.drill.climate import hostile_month
from broker.drill.oracle import judge
from broker.drill.world import play


def hunt(first: int, last: int) -> tuple[int, set[str]] | None:
    """The first seed in [first, last) that breaks a promise, and which; None where none does."""
    for seed in range(first, last):
        try:
            rules = {violation.rule for violation in judge(play(hostile_month(seed), most_violations=1)).violations}
        except Exception as error:  # noqa: BLE001 -- whatever a planted fault raises has been found
            rules = {f"it ends with {type(error).__name__}"}
        if rules:
            return seed, rules
    return None


def main(arguments: list[str]) -> int:
    """The command; 1 where a promise was broken."""
    found = hunt(int(arguments[0]), int(arguments[1]))
    if found is None:
        return 0
    print(found[0], " | ".join(sorted(found[1])))  # noqa: T201 -- its result
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
