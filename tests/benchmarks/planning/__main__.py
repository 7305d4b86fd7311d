"""`make plan-table`: both tables of the README, printed and written there. Virtual time, fixed seeds: always the same.

`python -m tests.benchmarks.planning [README]`; what stands between the markers in that file is replaced.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.planning import adaptive, always
from tests.benchmarks.planning.household import Household

if TYPE_CHECKING:
    from tests.benchmarks.planning.adaptive import Result
    from tests.benchmarks.planning.always import Outcome

DAYS = 90
SEEDS = (1, 2, 3)
BEGIN, END = "<!-- plan-table: made by `make plan-table` -->\n", "<!-- plan-table ends -->\n"


def run_policy(job: tuple[str, int]) -> Result:
    """One policy over one household (a job for another process)."""
    policy, seed = job
    return adaptive.POLICIES[policy](Household(seed, DAYS))


def main() -> int:
    """Print both tables, write them into the file named; 1 where something does not hold."""
    with ProcessPoolExecutor(2) as pool:
        outcomes = list(pool.map(always.simulate, always.CASES))
        results = list(pool.map(run_policy, [(policy, seed) for seed in SEEDS for policy in adaptive.POLICIES]))
    text = "\n".join([*always_table(outcomes), "", *BETWEEN, "", *adaptive_table(results), ""])
    print(text)
    for name in sys.argv[1:]:
        _replace(Path(name), text)
    good = all(outcome.calls <= outcome.bound and outcome.misses == 0 for outcome in outcomes)
    return 0 if good and all(share >= 95 for share in _shares(results)) and _quota_held(results) else 1


def _replace(readme: Path, text: str) -> None:
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}{text}{END}{after}")


BETWEEN = """\
Adaptive, against planners that know more or care less. Three households of 5 to 25 requests a day, with mornings,
evenings, bursts, weekends, public holidays and weeks away (`household.py`); "found warm" is the part of all requests,
the first days of learning included, that found a valid ticket at once. Everybody else waits for one call.
""".splitlines()


def always_table(outcomes: list[Outcome]) -> list[str]:
    """The first table."""
    return [
        "| life | doors | quota | period | planned margin | calls | at most | requests | misses |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *map(always_row, outcomes),
    ]


def always_row(outcome: Outcome) -> str:
    """One case's row."""
    case = outcome.case
    return (
        f"| {_time(case.life_seconds)} | {case.doors} | {case.quota or 'none'} | {_time(case.period_seconds)} "
        f"| {outcome.margin_seconds:.1f} s | {outcome.calls} | {outcome.bound:.0f} | {outcome.requests} "
        f"| {outcome.misses} |"
    )


def adaptive_table(results: list[Result]) -> list[str]:
    """The second table."""
    lines = [f"| {DAYS} days, 2 doors, 5-minute tickets, 500 calls a day | " + " | ".join(_columns()) + " |"]
    lines.append("|---|" + "---:|" * len(_columns()))
    for policy in adaptive.POLICIES:
        own = [result for result in results if result.policy == policy]
        cells = [f"{result.hit_percent:.1f} %" for result in own]
        calls, most = sum(result.calls_a_day for result in own) / len(own), max(result.most for result in own)
        lines.append(f"| {policy} | " + " | ".join([*cells, f"{calls:.0f}", str(most)]) + " |")
    shares = ", ".join(f"{share:.1f} %" for share in _shares(results))
    return [*lines, "", f"adaptive reaches {shares} of what the planner that knows the rates reaches"]


def _columns() -> list[str]:
    return [*(f"found warm, household {seed}" for seed in SEEDS), "calls a day", "most in 24 h"]


def _shares(results: list[Result]) -> list[float]:
    hits = {(result.policy, result.seed): result.hit_percent for result in results}
    return [100 * hits["adaptive", seed] / hits["knows the rates", seed] for seed in SEEDS]


def _quota_held(results: list[Result]) -> bool:
    return all(result.most <= adaptive.QUOTA and result.refused == 0 and result.failed == 0 for result in results)


def _time(seconds: float) -> str:
    for unit, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


if __name__ == "__main__":
    sys.exit(main())
