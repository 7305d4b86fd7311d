from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.drill.virtual import pass_seconds
from broker.errors import Code, QuotaExhausted
from broker.services.homes import Homes
from tests.benchmarks.planning.world import a_door
from tests.services.lab import Lab, in_lab

if TYPE_CHECKING:
    from broker.core.secret import Secret

FRONT = a_door("front", "always")


class Catalogue:
    """ports.HomeCatalogue with two plants; `refusal` is what its next answer is instead."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0
        self.refusal: QuotaExhausted | None = None

    async def plants(self, _: Secret) -> list[dict[str, str]]:
        self.asked.append("plants")
        if self.refusal is not None:
            raise self.refusal
        return [{"id": "p1", "name": "Home"}, {"id": "p2"}]

    async def modules(self, plant_id: str, _: Secret) -> list[dict[str, str]]:
        self.asked.append(plant_id)
        return [{"id": f"{plant_id}-door"}]

    async def close(self) -> None:
        self.closed += 1


def homes_of(lab: Lab, catalogue: Catalogue) -> Homes:
    return Homes(lambda _: catalogue, timekeeper=lab.timekeeper)


def test_every_plant_is_listed_with_its_modules_for_one_counted_call_and_one_a_plant() -> None:
    async def scenario(lab: Lab) -> None:
        catalogue, made = Catalogue(), lab.account.calls.made
        rows = await homes_of(lab, catalogue).list(lab.account)
        assert rows == [
            {"plant_id": "p1", "name": "Home", "modules": [{"id": "p1-door"}]},
            {"plant_id": "p2", "name": None, "modules": [{"id": "p2-door"}]},
        ]
        assert (len(catalogue.asked), catalogue.closed) == (3, 1)
        assert lab.account.calls.made == made + 3

    in_lab(scenario, FRONT, daily_quota=500)


def test_the_clouds_word_that_no_call_is_left_holds_for_tickets_too() -> None:
    async def scenario(lab: Lab) -> None:
        catalogue, calls = Catalogue(), lab.calls
        catalogue.refusal = QuotaExhausted("403", service="service catalogue", status=403, retry_after_seconds=3_000)
        with pytest.raises(QuotaExhausted):
            await homes_of(lab, catalogue).list(lab.account)
        await pass_seconds(2_900)
        assert lab.calls == calls, "a call in vain"
        assert (await lab.refused()).code is Code.QUOTA_EXHAUSTED
        assert len(lab.recorder.of("quota.exhausted")) == 1
        await pass_seconds(200)
        await lab.get()

    in_lab(scenario, FRONT, daily_quota=500)


def test_where_our_own_count_leaves_no_call_none_is_made() -> None:
    async def scenario(lab: Lab) -> None:
        catalogue = Catalogue()
        homes = homes_of(lab, catalogue)
        while lab.account.calls.made + 3 <= 60:
            await homes.list(lab.account)
        with pytest.raises(QuotaExhausted) as told:
            await homes.list(lab.account)
        assert told.value.retry_after_seconds is not None
        assert lab.account.calls.made == 60
        assert len(lab.recorder.of("quota.exhausted")) == 0

    in_lab(scenario, FRONT, daily_quota=60)
