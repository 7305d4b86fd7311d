"""The short form of both tables; the long one is `python -m tests.benchmarks.planning`."""

from __future__ import annotations

import pytest

from tests.benchmarks.planning import __main__ as table
from tests.benchmarks.planning import always
from tests.benchmarks.planning.adaptive import POLICIES, QUOTA
from tests.benchmarks.planning.household import DAY, FIRST_DAY, Household
from tests.e2e.daemon import ROOT


@pytest.mark.parametrize("case", always.SHORT, ids=str)
def test_kept_warm_always_no_call_is_too_many_and_nothing_is_missed(case: always.Case) -> None:
    outcome = always.simulate(case)
    assert outcome.misses == 0
    assert outcome.calls <= outcome.bound
    assert outcome.calls >= outcome.planned * 0.9, "fewer calls than lives: something else is measured"


@pytest.mark.slow
def test_adaptive_comes_near_a_planner_that_knows_the_rates_and_never_exceeds_the_quota() -> None:
    # a third of the whole table's 90 days, the weeks of learning included
    household = Household(seed=1, days=28)
    results = {name: POLICIES[name](household) for name in ("adaptive", "knows the rates", "on-demand")}
    adaptive = results["adaptive"]
    assert adaptive.hit_percent >= 0.95 * results["knows the rates"].hit_percent
    assert adaptive.hit_percent > results["on-demand"].hit_percent + 40
    for result in results.values():
        assert result.most <= QUOTA
        assert result.refused == result.failed == 0


@pytest.mark.slow
def test_the_readme_has_the_figures_of_the_present_code() -> None:
    case = next(case for case in always.CASES if case.life_seconds == always.HOUR)
    assert table.always_row(always.simulate(case)) in (ROOT / "README.md").read_text().splitlines()


@pytest.mark.slow
def test_the_readme_has_every_case_and_policy() -> None:
    text = (ROOT / "README.md").read_text()
    told = text[text.index(table.BEGIN) : text.index(table.END)].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told if line.startswith("|")]
    assert len(rows) == 2 + len(always.CASES) + 2 + len(POLICIES)
    policies = {row[0]: row[1:] for row in rows[-len(POLICIES) :]}
    assert list(policies) == list(POLICIES)
    seen = POLICIES["on-demand"](Household(table.SEEDS[0], table.DAYS))
    assert policies["on-demand"][0] == f"{seen.hit_percent:.1f} %"


def test_the_household_is_as_the_issue_describes_it() -> None:
    for seed in (1, 2, 3):
        household = Household(seed, 90)
        counts = [0] * 90
        for request in household.requests():
            counts[min(89, int((request.at - FIRST_DAY) // DAY))] += 1
        home = sorted(count for day, count in enumerate(counts) if day not in household.away)
        usual = home[len(home) // 10 : -len(home) // 10]
        assert usual[0] >= 4
        assert usual[-1] <= 30
        assert household.away, "nobody is at home always"


def test_the_same_seed_is_the_same_household() -> None:
    assert Household(3, 30).requests() == Household(3, 30).requests()
