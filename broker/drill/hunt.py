"""Plays hostile months, seed after seed, until one of them breaks a promise: `python -m broker.drill.hunt FIRST LAST`.

Prints the seed, the rules, the shrunk script and the log around what broke as a line of JSON, and exits 1; or nothing,
and exits 0. With `--script FILE` it plays that one, with `--shorten FILE` it shrinks it too. What the drill's services
raise counts as broken. It is run against a copy of the package with a fault planted in it, in a process of its own.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from broker.drill.climate import hostile_month
from broker.drill.oracle import judge
from broker.drill.script import DAY, HOUR, from_json
from broker.drill.shrink import shrink
from broker.drill.world import play

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.drill.script import Script

ENDS = (3 * HOUR, DAY / 2, DAY, 2 * DAY, 4 * DAY, 8 * DAY, 16 * DAY)  # tried as the end of a shorter script
MOST_PLAYS = 40
LINES_BEFORE, LINES_AFTER = 25, 5


def broken(script: Script) -> set[str]:
    """The rules that one play breaks, until the first is broken."""
    try:
        return {violation.rule for violation in judge(play(script, most_violations=1)).violations}
    except Exception as error:  # noqa: BLE001 -- whatever a planted fault raises has been found
        return {f"it ends with {type(error).__name__}"}


def around(script: Script) -> list[str]:
    """The decisions around the first broken promise."""
    try:
        seen = play(script, keep_log=True, most_violations=1)
        judge(seen)
    except Exception as error:  # noqa: BLE001 -- whatever a planted fault raises has been found
        return [f"VIOLATION: it ends with {error!r}"]
    lines = seen.watch.decisions or []
    first = next((place for place, line in enumerate(lines) if "VIOLATION" in line), len(lines))
    return lines[max(0, first - LINES_BEFORE) : first + LINES_AFTER]


def hunt(first: int, last: int) -> tuple[Script, set[str]] | None:
    """The first month with a seed in [first, last) that breaks a promise, and which; None where none does."""
    for seed in range(first, last):
        script = hostile_month(seed)
        rules = broken(script)
        if rules:
            return script, rules
    return None


def shortened(script: Script, rules: set[str]) -> Script:
    """The same failure with an early end and few happenings."""

    def fails(shorter: Script) -> bool:
        return bool(broken(shorter) & rules)

    for seconds in ENDS:
        happenings = tuple(it for it in script.happenings if it.at_seconds < seconds)
        shorter = replace(script, seconds=seconds, happenings=happenings)
        if fails(shorter):
            script = shorter
            break
    bare = replace(script, happenings=())
    script = bare if fails(bare) else shrink(script, fails, most_plays=MOST_PLAYS)
    return next((sooner for sooner in _sooner(script) if fails(sooner)), script)


def _sooner(script: Script) -> Iterator[Script]:
    """The same happenings soon after the beginning, and an end soon after them."""
    if not script.happenings:
        return
    first, last = script.happenings[0].at_seconds, max(it.ends_seconds for it in script.happenings)
    for lead in (HOUR, DAY / 4, DAY, 3 * DAY, 6 * DAY):
        for tail in (HOUR, DAY / 2, 2 * DAY):
            back = max(0.0, first - lead)
            happenings = tuple(replace(it, at_seconds=it.at_seconds - back) for it in script.happenings)
            if last - back + tail < script.seconds:
                yield replace(script, seconds=last - back + tail, happenings=happenings)


def main(arguments: list[str]) -> int:
    """The command; 1 where a promise was broken."""
    if arguments[0] in ("--script", "--shorten"):
        script = from_json(Path(arguments[1]).read_text("utf-8"))
        rules = broken(script)
        script = shortened(script, rules) if rules and arguments[0] == "--shorten" else script
    else:
        found = hunt(int(arguments[0]), int(arguments[1]))
        if found is None:
            return 0
        rules = found[1]
        script = shortened(found[0], rules)
    if not rules:
        return 0
    told = {
        "seed": script.seed,
        "rules": sorted(rules),
        "script": json.loads(script.to_json()),
        "log": around(script),
    }
    print(json.dumps(told))  # noqa: T201 -- its result
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
