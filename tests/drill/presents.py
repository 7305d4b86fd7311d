"""Presents of all kinds, out of a seed: what a running broker may have in hand when a drill is begun."""

from __future__ import annotations

import random

from broker.drill.present import Held, Present, Waiting
from broker.drill.script import DAY, HOUR, Door, Household

NOW = 1_800_000_000.0
FAILURES = (
    ("upstream_unavailable", "retry", 200.0),
    ("rate_limited", "retry", 1800.0),
    ("gateway_offline", "retry", 900.0),
    ("config_error", "fix", 3000.0),
)


def any_present(seed: int) -> tuple[Household, Present]:
    """A household, and what it has in hand."""
    dice = random.Random(f"{seed}/present")
    life, token_life = dice.choice((300.0, 3600.0, 6 * HOUR)), dice.choice((3600.0, DAY))
    doors = (
        Door("front-door", requests_a_day=60.0),
        Door("gate", single_use=True, pool=2, requests_a_day=10.0),
        Door("garden", warm="adaptive", hours=((18, 2.0), (19, 0.5))),
    )[: dice.choice((1, 2, 3))]
    household = Household(
        doors,
        ticket_seconds=life,
        id_token_seconds=token_life,
        daily_quota=dice.choice((0, 500)),
        sliding_window_seconds=dice.choice((None, 12 * DAY)),
    )
    quota, used = household.daily_quota, dice.choice((0, 30, 449, 455, 500))
    stopped = dice.choice((0.0, 0.0, 0.0, 3000.0))
    ago = dice.uniform(0, token_life / 2)
    present = Present(
        at_seconds=NOW + dice.uniform(0, 7 * DAY),
        logged_in_ago=dice.uniform(0, 11 * DAY),
        login_left=dice.choice((None, dice.uniform(HOUR, 14 * DAY))),
        token_ago=dice.choice((None, ago)),
        token_left=token_life - ago,
        token_failure=dice.choice((None, None, waiting(dice))),
        calls_used=used,
        next_call_in=dice.uniform(1, HOUR) if quota and used >= quota else stopped,
        next_prefetch_in=dice.uniform(HOUR, 2 * HOUR) if quota and used >= quota - 50 else stopped,
        stopped_for=stopped,
        tickets=tuple(held(door, life, dice) for door in doors),
    )
    return household, present


def held(door: Door, life: float, dice: random.Random) -> Held:
    has = dice.random() < 0.7
    return Held(
        door.name,
        left_seconds=dice.uniform(1, life) if has else None,
        in_hand=door.pool if has else 0,
        life_seconds=dice.choice((life, life, None)) if not has else life,
        told=not has and dice.random() < 0.5,
        failure=None if dice.random() < 0.6 else waiting(dice),
        hours=door.hours,
        asked_ago=dice.choice((None, dice.uniform(0, DAY))),
        learnt_for=dice.uniform(0, 90 * DAY),
    )


def waiting(dice: random.Random) -> Waiting:
    code, remedy, most = dice.choice(FAILURES)
    ago = dice.uniform(0, most)
    return Waiting(code, remedy, "as told", dice.randrange(1, 9), ago, dice.uniform(0, most - ago))
