"""How things grow: from 1 to 10,000 tickets, a rotation of all of them, in virtual time.

The one invariant: the services are the real ones; only the cloud's latency and the disk are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.planning import cost
from tests.benchmarks.watchers import verdict

if TYPE_CHECKING:
    from pathlib import Path

TICKETS = (1, 10, 100, 1_000, 10_000)
OWN_MICROSECONDS = 100.0
TURN_MILLISECONDS = 5.0


def tell(_folder: Path) -> list[str]:
    """What a renewal costs of our own code, saves apart, and what the sweep holds the loop for."""
    lines = [
        "| tickets | own code a renewal, µs | saves | a save, ms | longest turn of a sweep, ms | bytes a ticket |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in TICKETS:
        seen, held = cost.measure(count, memory=False), cost.measure(count)  # tracing memory slows what comes after it
        save = 1e3 * seen.save_seconds / max(1, seen.saves)
        lines.append(
            f"| {count:,} | {seen.own_microseconds:.0f} | {seen.saves} | {save:.2f} "
            f"| {1e3 * seen.longest_turn_seconds:.1f} | {held.bytes_a_ticket:,.0f} |"
        )
    lines += ["", "| with 10,000 tickets | seen | |", "| --- | ---: | --- |"]
    own, turn = seen.own_microseconds, 1e3 * seen.longest_turn_seconds
    lines.append(f"| own code a renewal ≤ 100 µs | {own:.0f} µs | {verdict(own <= OWN_MICROSECONDS)} |")
    lines.append(f"| a turn of the sweep ≤ 5 ms | {turn:.1f} ms | {verdict(turn <= TURN_MILLISECONDS)} |")
    return lines
