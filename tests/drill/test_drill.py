"""Drills in the unit part: same seed, same log; the oracle, the intervals, shrinking; what the picture shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from broker.drill import chart
from broker.drill.climate import hostile_month, ordinary
from broker.drill.intervals import complement, holds, intersection, later_start, total, union
from broker.drill.oracle import judge, least_calls
from broker.drill.rehearsal import names, rehearsal, seconds_of
from broker.drill.scenario_file import BadScenario
from broker.drill.script import DAY, HOUR, KINDS, Door, Happening, Household, Script, from_json
from broker.drill.shrink import shrink
from broker.drill.world import play

OUTAGE = Happening(DAY, "outage", 2 * HOUR, {"form": "refused"})


def a_day_with(*happenings: Happening, household: Household | None = None) -> Script:
    return Script(1, 2 * DAY, household or Household(), happenings)


def test_the_same_seed_gives_the_same_log() -> None:
    script = replace(hostile_month(3), seconds=3 * DAY)
    assert play(script).digest == play(script).digest


def test_another_seed_gives_another_log() -> None:
    assert play(a_day_with()).digest != play(replace(a_day_with(), seed=2)).digest


def test_a_script_survives_being_written_down() -> None:
    script = hostile_month(7)
    assert from_json(script.to_json()) == script


def test_an_end_that_no_float_can_reach_exactly_is_reached() -> None:
    """This drill went on for ever: what was left of it was less than the clock could be moved by."""
    doors = (Door("front-door", requests_a_day=4.0), Door("gate", warm="adaptive", requests_a_day=10.0))
    household = Household(
        doors,
        ticket_seconds=DAY,
        sliding_window_seconds=90 * DAY,
        person_seconds=2 * DAY,
        daily_quota=60,
        answer_seconds=1.5,
    )
    script = Script(40, 177_935.829_999_999_96, household, (Happening(HOUR, "suspend", 1535.83),))
    assert judge(play(script)).violations == ()


def test_an_outage_shorter_than_the_margin_is_not_felt() -> None:
    seen = play(a_day_with(replace(OUTAGE, lasts_seconds=600.0)))
    verdict = judge(seen)
    assert verdict.unavoidable_seconds < 10
    assert verdict.misses == 0
    assert verdict.violations == ()


def test_an_outage_longer_than_a_ticket_is_felt_and_nobody_could_have_avoided_it() -> None:
    verdict = judge(play(a_day_with(OUTAGE)))
    assert verdict.unavoidable_seconds > HOUR
    assert (verdict.avoidable_seconds, verdict.avoidable_misses, verdict.violations) == (0.0, 0, ())


def test_a_revoked_login_is_lost_without_blame_and_a_person_brings_it_back() -> None:
    seen = play(a_day_with(Happening(DAY, "revoked")))
    assert [loss.reason for loss in seen.watch.losses] == ["revoked"]
    assert len(seen.sign_ins) == 2
    assert judge(seen).avoidable_losses == 0


def test_a_strict_provider_and_a_lost_answer_cost_the_login_and_the_drill_knows_why() -> None:
    lost = Happening(DAY, "lost_answers", 2400.0, {"where": "token"})
    seen = play(a_day_with(lost, household=Household(rotation="strict")))
    assert [loss.reason for loss in seen.watch.losses] == ["reused"]
    assert judge(seen).violations == ()


@pytest.mark.parametrize("told", [True, False])
def test_a_window_that_closes_is_told_before(told: bool) -> None:
    """Even where no answer tells of it, as at B2C: it is configured."""
    household = Household(sliding_window_seconds=1.5 * DAY, window_told=told)
    seen = play(a_day_with(household=household))
    assert [loss.reason for loss in seen.watch.losses] == ["window"]
    warned = seen.watch.losses[0].warned_seconds
    assert warned is not None
    assert warned > 11 * HOUR


@pytest.mark.slow
def test_a_crash_in_the_middle_of_any_write_costs_nothing_with_a_lenient_provider() -> None:
    for operations in range(0, 16, 3):
        verdict = judge(play(a_day_with(Happening(DAY, "crash", 0.0, {"operations": operations}))))
        assert (verdict.losses, verdict.violations) == (0, ())


def test_the_watch_sees_a_promise_that_is_not_kept() -> None:
    """An oracle that is told of no outage must call what the outage caused avoidable."""
    seen = play(a_day_with(OUTAGE))
    blind = replace(seen, script=a_day_with())
    assert judge(blind).avoidable_seconds > HOUR


def test_an_oracle_that_is_told_of_no_outage_blames_for_tickets_of_five_minutes_too() -> None:
    """The day's calls suffice for those, with less to spare: it took that for a plan with gaps, and asked nothing."""
    household = Household(ticket_seconds=300.0)
    seen = play(replace(a_day_with(OUTAGE, household=household), seconds=DAY + 3 * HOUR))
    assert judge(seen).violations == ()
    assert judge(replace(seen, script=replace(seen.script, happenings=()))).avoidable_seconds > HOUR


def test_a_household_whose_quota_leaves_gaps_is_promised_nothing() -> None:
    assert Household(ticket_seconds=300.0).plan_fits
    assert not Household((Door("front-door"), Door("gate")), ticket_seconds=300.0).plan_fits
    assert Household((Door("front-door"), Door("gate")), ticket_seconds=300.0, daily_quota=0).plan_fits


def test_a_crash_in_a_step_that_has_paused_ends_the_process_and_nothing_else() -> None:
    slow = Happening(HOUR, "outage", 8 * HOUR, {"form": "timeout", "where": "token"})
    crash = Happening(3 * HOUR, "crash", 0.0, {"operations": 3})
    seen = play(a_day_with(slow, crash), keep_log=True)
    assert judge(seen).violations == ()
    assert sum("process: ended" in line for line in seen.watch.decisions or ()) == 2  # that one, and the drill's end


def test_after_a_boot_with_a_clock_that_is_ahead_no_call_is_made_before_the_answer_that_tells_the_time() -> None:
    """The ticket in hand was taken for expired, and the calls of the day for forgotten."""
    dark = Happening(DAY, "power_cut", 600.0, {"off_by": 2 * HOUR, "ntp_after": 4 * HOUR})
    seen = play(a_day_with(dark, household=Household(answer_seconds=3.0, id_token_seconds=DAY)), keep_log=True)
    begin = next(place for place, line in enumerate(seen.watch.decisions or ()) if "over: power_cut" in line)
    after = [line.split(maxsplit=1)[1] for line in (seen.watch.decisions or ())[begin + 1 : begin + 4]]
    assert after[:2] == ["process: started", "refresh: ok"]
    calls = [float(line.split()[0]) for line in seen.watch.decisions or () if " call front-door" in line]
    assert not [at for at in calls if DAY + 600 <= at < DAY + 900], "the ticket in hand is still good"
    assert judge(seen).violations == ()


def test_a_power_cut_in_the_dark_is_none() -> None:
    """Its end booted the machine, and the end of the first one booted it again under the process that ran."""
    cuts = Happening(HOUR, "power_cut", 8 * HOUR), Happening(2 * HOUR, "power_cut", 600.0, {"off_by": 90.0})
    seen = play(a_day_with(*cuts), keep_log=True)
    assert judge(seen).violations == ()
    assert sum("process: started" in line for line in seen.watch.decisions or ()) == 2


def test_a_provider_that_forgets_the_newest_token_is_asked_with_the_one_before() -> None:
    seen = play(a_day_with(Happening(DAY, "rolled_back")))
    assert judge(seen).violations == ()
    assert not seen.watch.losses


def test_one_device_that_is_offline_costs_the_other_door_nothing() -> None:
    household = Household((Door("front-door"), Door("garden-gate")))
    seen = play(a_day_with(Happening(DAY, "device_offline", 6 * HOUR, {"door": 1}), household=household))
    verdict = judge(seen)
    assert verdict.violations == ()
    assert total(seen.watch.doors["front-door"].gaps) < 5
    assert total(seen.watch.doors["garden-gate"].gaps) > 4 * HOUR


def test_who_hangs_up_does_not_take_the_call_with_him() -> None:
    day = a_day_with(Happening(DAY, "hang_up", 0.0, {"after": 0.1}), household=Household(answer_seconds=1.5))
    seen = play(day, keep_log=True)
    assert judge(seen).violations == ()
    calls = [float(line.split()[0]) for line in seen.watch.decisions or () if " call front-door: ok" in line]
    assert len([at for at in calls if DAY <= at < DAY + 60]) == 1


def test_a_key_that_nobody_has_read_is_read_and_costs_nothing() -> None:
    seen, usual = play(a_day_with(Happening(DAY, "key_roll"))), play(a_day_with())
    assert judge(seen).violations == ()
    assert (seen.watch.refreshes, seen.watch.calls) == (usual.watch.refreshes, usual.watch.calls)


def test_keys_are_read_at_most_once_a_minute_and_who_waits_for_that_loses_nothing() -> None:
    """They were read at the login, and change before that minute is over."""
    household = Household(id_token_seconds=100.0, answer_seconds=0.05)
    seen = play(Script(1, HOUR / 6, household, (Happening(10.0, "key_roll"),)), keep_log=True)
    assert judge(seen).violations == ()
    lines = "\n".join(seen.watch.decisions or ())
    failed, again = lines.index("id_token.refresh_failed"), lines.index("id_token.refreshed")
    assert failed < again
    assert len(seen.sign_ins) == 1


@pytest.mark.parametrize("status", [469, 470])
def test_a_person_who_must_act_in_the_vendors_app_is_waited_for(status: int) -> None:
    app = Happening(DAY, "person_must_act", 3 * HOUR, {"status": status})
    seen = play(a_day_with(app), keep_log=True)
    assert judge(seen).violations == ()
    assert any("UserActionRequired" in line for line in seen.watch.decisions or ())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["timeout", "408", "486", "500", "503"])
def test_every_kind_of_outage_is_lived_through(form: str) -> None:
    verdict = judge(play(a_day_with(Happening(DAY, "outage", 2 * HOUR, {"form": form}))))
    assert verdict.violations == ()
    assert verdict.unavoidable_seconds > HOUR


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_weather_can_be_played_and_leaves_a_line_in_the_log(kind: str) -> None:
    needed: dict[str, dict[str, Any]] = {
        "slow": {"seconds": 19},
        "junk": {"form": "truncated"},
        "clock_step": {"by": 90.0},
        "drift": {"ppm": 200.0},
    }
    seen = play(Script(1, DAY / 2, happenings=(Happening(2 * HOUR, kind, HOUR, needed.get(kind, {})),)), keep_log=True)
    assert judge(seen).violations == ()
    assert any(f"weather: {kind}" in line for line in seen.watch.decisions or ())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in names() if name != "year"])
def test_every_scenario_is_played_with_every_promise_kept(name: str) -> None:
    seen = play(rehearsal(name, None, Household()))
    assert judge(seen).violations == ()


def test_a_scenario_that_does_not_exist_or_has_no_duration_is_refused() -> None:
    with pytest.raises(BadScenario):
        rehearsal("flood", None, Household())
    with pytest.raises(BadScenario):
        seconds_of("soon")
    assert seconds_of("-1d") == -DAY


def test_shrinking_finds_the_one_happening_that_matters() -> None:
    script = hostile_month(5)
    culprit = script.happenings[len(script.happenings) // 2]
    small = shrink(script, lambda smaller: culprit in smaller.happenings)
    assert small.happenings == (culprit,)


def test_the_timeline_and_the_picture_show_the_gap() -> None:
    seen = play(a_day_with(OUTAGE))
    lines = chart.timeline(seen)
    assert chart.NONE in lines[0]
    assert "▄" in lines[1]
    assert "no ticket" in chart.svg(seen, "an outage")
    assert dict(chart.table(seen, judge(seen)))["logins lost that could be kept"] == "0"


def test_intervals() -> None:
    assert union([(3, 4), (0, 2), (1, 3)]) == [(0, 4)]
    assert complement([(1, 2), (3, 9)], 5) == [(0, 1), (2, 3)]
    assert intersection([(0, 2), (4, 6)], [(1, 5)]) == [(1, 2), (4, 5)]
    assert later_start([(0, 5), (6, 7)], 2) == [(2, 5)]
    assert holds([(0, 1), (3, 4)], 3.5)
    assert not holds([(0, 1), (3, 4)], 2)
    assert total([(0, 1), (3, 5)]) == 3


def test_the_fewest_calls_are_one_a_life_and_one_more_before_an_outage() -> None:
    script = Script(1, 10 * HOUR)
    assert least_calls([(0, 10 * HOUR)], script, 0.0) == 10
    assert least_calls([(0, 2.5 * HOUR), (3.2 * HOUR, 10 * HOUR)], script, 0.0) == 3 + 1 + 7


def test_ordinary_years_have_an_outage_a_month_or_so() -> None:
    kinds = [it.kind for it in ordinary(1, 3.0).happenings]
    assert 20 < kinds.count("outage") < 70
