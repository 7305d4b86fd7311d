from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.config import PublishConfig
from broker.drill.virtual import pass_seconds
from broker.errors import BrokerError, GatewayOffline, QuotaExhausted, ShortValidity, UnknownTicket
from tests.benchmarks.planning.world import a_door
from tests.services.lab import Lab, in_lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Row = dict[str, Any]


class Watcher:
    """Reads a watch, remembering its lines."""

    def __init__(self, lines: AsyncIterator[Row]) -> None:
        self.lines: list[Row] = []
        self.task = asyncio.create_task(self._read(lines))  # noqa: TID251 - a client of its own

    async def _read(self, lines: AsyncIterator[Row]) -> None:
        async for line in lines:
            self.lines.append(line)

    async def end(self) -> list[Row]:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return self.lines


def test_a_watcher_misses_no_rotation() -> None:
    async def scenario(lab: Lab) -> None:
        watcher = Watcher(lab.desk.watch("front"))
        await pass_seconds(3600)
        told = [line["generation"] for line in await watcher.end() if line["type"] == "ticket"]
        assert len(told) == len(set(told)) == lab.calls
        assert told == sorted(told)

    in_lab(scenario, life_seconds=30.0)


def test_many_watchers_are_told_the_same() -> None:
    async def scenario(lab: Lab) -> None:
        watchers = [Watcher(lab.desk.watch("front")) for _ in range(20)]
        await pass_seconds(900)
        told = [[line.get("generation") for line in await watcher.end()] for watcher in watchers]
        assert all(each == told[0] for each in told)
        assert len(told[0]) >= 4

    in_lab(scenario)


def test_a_watcher_is_told_why_there_is_no_ticket_and_when_there_is_one_again() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        watcher = Watcher(lab.desk.watch("front"))
        lab.cloud.outcomes.append(QuotaExhausted("used up", service="issuer", status=403, retry_after_seconds=600))
        await pass_seconds(1200)
        lines = await watcher.end()
        kinds = [(line["type"], line.get("code")) for line in lines]
        assert kinds[:3] == [("ticket", None), ("unavailable", "quota_exhausted"), ("ticket", None)]

    in_lab(scenario)


def test_a_watcher_is_told_of_logout_and_login() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        watcher = Watcher(lab.desk.watch("front"))
        await pass_seconds(1)
        await lab.desk.logout("home")
        await pass_seconds(1)
        identity = lab.account.identity
        await identity.finish_login(await identity.begin_login(), {"code": "good"})
        await pass_seconds(5)
        lines = await watcher.end()
        assert next(line["type"] for line in lines) == "ticket"
        assert "login_required" in [line.get("code") for line in lines]
        assert lines[-1]["type"] == "ticket"
        assert lines[-1]["generation"] > lines[0]["generation"]

    in_lab(scenario)


def test_who_watches_a_ticket_that_nobody_asks_for_is_told_of_the_login_too() -> None:
    async def scenario(lab: Lab) -> None:
        watcher = Watcher(lab.desk.watch("front"))
        await pass_seconds(1)
        identity = lab.account.identity
        await identity.finish_login(await identity.begin_login(), {"code": "good"})
        await pass_seconds(1)
        assert [line["code"] for line in await watcher.end()] == ["login_required", None]

    in_lab(scenario, a_door("front", "on-demand"), login=False)


def test_watching_makes_no_call() -> None:
    async def scenario(lab: Lab) -> None:
        watcher = Watcher(lab.desk.watch("front"))
        await pass_seconds(3600)
        lines = await watcher.end()
        assert (lab.calls, lines[0]["type"], lines[0]["code"]) == (0, "unavailable", None)

    in_lab(scenario, a_door("front", "on-demand"))


def test_a_vended_ticket_has_all_that_the_contract_names() -> None:
    async def scenario(lab: Lab) -> None:
        vended = await lab.desk.ticket("front", min_validity_seconds=0, wait_seconds=None, newer_than=None)
        assert vended is not None
        assert (vended.name, vended.device_id, vended.expires_in_seconds) == ("front", "front", 299)
        assert vended.expires_at - vended.issued_at == 300
        again = await lab.desk.ticket("front", min_validity_seconds=0, wait_seconds=0, newer_than=vended.generation)
        assert again is None, "304"

    in_lab(scenario)


def test_a_refused_ticket_is_replaced_or_the_reason_is_raised() -> None:
    async def scenario(lab: Lab) -> None:
        held = await lab.get()
        newer = await lab.desk.renew_ticket("front", refused_generation=held.generation)
        assert newer.generation > held.generation
        lab.cloud.outcomes.append(GatewayOffline("404", service="issuer", status=404))
        with pytest.raises(BrokerError, match="404") as failed:
            await lab.desk.renew_ticket("front", refused_generation=newer.generation)
        assert failed.value.code == "gateway_offline"

    in_lab(scenario)


def test_unknown_names_are_said_to_be_unknown() -> None:
    async def scenario(lab: Lab) -> None:
        with pytest.raises(UnknownTicket):
            await lab.desk.ticket("nobody", min_validity_seconds=0, wait_seconds=None, newer_than=None)
        with pytest.raises(UnknownTicket):
            await anext(lab.desk.watch("nobody"))

    in_lab(scenario)


def test_ready_once_every_ticket_that_is_kept_warm_can_be_had() -> None:
    async def scenario(lab: Lab) -> None:
        ready, row = lab.desk.readiness()
        assert not ready
        assert row["tickets"][0]["code"]
        await lab.settle()
        assert lab.desk.readiness()[0]
        assert lab.desk.status_line().startswith("ready; tickets: 2")

    in_lab(scenario, a_door("front", "always"), a_door("back", "on-demand"))


def test_short_validity_says_for_how_long_there_is_one() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.get()
        await pass_seconds(50)
        with pytest.raises(ShortValidity) as short:
            await lab.desk.ticket("front", min_validity_seconds=400, wait_seconds=None, newer_than=None)
        assert 249 <= short.value.available_for_seconds <= 250

    in_lab(scenario)


def test_a_logout_withdraws_every_published_file() -> None:
    async def scenario(lab: Lab) -> None:
        await lab.settle()
        assert set(lab.publisher.files) == {"front", "back"}
        await lab.desk.logout("home")
        assert not lab.publisher.files

    doors = [a_door(name, "always", publish=PublishConfig(Path(f"/run/{name}"))) for name in ("front", "back")]
    in_lab(scenario, *doors)


def test_a_watch_ends_when_the_configuration_no_longer_names_the_ticket() -> None:
    async def scenario(lab: Lab) -> None:
        watcher = Watcher(lab.desk.watch("front"))
        await pass_seconds(5)
        lab.rearrange(a_door("side", "always"))
        await pass_seconds(1)
        assert watcher.task.done()
        assert [line["type"] for line in watcher.lines] == ["unavailable", "ticket"]

    in_lab(scenario)
