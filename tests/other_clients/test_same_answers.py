"""Other people's clients at the broker's socket: the same answers, long polls, watch streams, early hang-ups."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, Options
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.waiting import pause, until
from tests.other_clients.callers import CALLERS, Answer, Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
every_client = pytest.mark.parametrize("name", CALLERS)
CHANGING_HEADERS = {"date", "connection", "keep-alive", "content-length"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("clients")
    names = ["front-door", *(f"for-{name}" for name in CALLERS)]
    with CloudThread(Options(daily_quota=0)) as cloud:
        text = account(cloud, directory, api="daily_quota = 0") + "".join(map(ticket, names))
        with Daemon(directory, text) as started:
            started.login(cloud)
            for name in names:
                started.client.ticket(name, wait=30)
            yield started


def ask(daemon: Daemon, client: str, target: str, **more: object) -> Answer:
    return CALLERS[client](Ask(daemon.socket_path, target, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/v1/tickets/front-door", {}, 200),
        ("/v1/tickets/front-door", {"Accept": "text/plain"}, 200),
        ("/v1/tickets/front-door", {"Accept": "application/jwt"}, 200),
        ("/v1/tickets/nowhere", {}, 404),
        ("/v1/tickets/front-door?min_validity=99999", {}, 503),
        ("/v1/tickets/front-door?wait=301", {}, 400),
        ("/v1/tickets/front-door", {"Origin": "https://page.example"}, 403),
        ("/healthz", {}, 200),
    ],
)
def test_all_clients_get_the_same(daemon: Daemon, target: str, headers: dict[str, str], status: int) -> None:
    answers = {name: ask(daemon, name, target, headers=headers) for name in CALLERS}
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(CALLERS, status)
    steady = {
        name: {header: value for header, value in answer.headers.items() if header not in CHANGING_HEADERS}
        for name, answer in answers.items()
    }
    assert all(seen == steady["curl"] for seen in steady.values()), steady
    bodies = {name: _without_countdown(answer) for name, answer in answers.items()}
    assert all(body == bodies["curl"] for body in bodies.values()), bodies


def _without_countdown(answer: Answer) -> object:
    if "json" not in answer.headers.get("content-type", ""):
        return answer.body
    return {key: value for key, value in answer.document.items() if key not in {"expires_in", "available_for"}}


def connections(daemon: Daemon) -> int:
    """How many clients the daemon has connected to its socket now."""
    path, connected = str(daemon.socket_path), "03"
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return sum(row[-1] == path and row[5] == connected for row in rows)


def await_connections(daemon: Daemon, count: int) -> None:
    """Wait until so many clients are connected, and have been heard."""
    until(lambda: connections(daemon) == count, seconds=60, what=lambda: f"{connections(daemon)} clients")
    if count:
        pause(0.3)


@every_client
def test_a_generation_that_is_known_is_not_sent_again(daemon: Daemon, name: str) -> None:
    etag = ask(daemon, name, "/v1/tickets/front-door").headers["etag"]
    again = ask(daemon, name, "/v1/tickets/front-door", headers={"If-None-Match": etag})
    assert (again.status, again.body) == (304, "")


@every_client
def test_a_long_poll_ends_when_there_is_a_newer_ticket(daemon: Daemon, name: str) -> None:
    target = f"/v1/tickets/for-{name}"
    before = ask(daemon, name, target)
    await_connections(daemon, 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, daemon, name, f"{target}?wait=15", headers={"If-None-Match": before.headers["etag"]})
        await_connections(daemon, 1)
        assert not waiting.done()
        daemon.client.refuse(f"for-{name}", before.document["generation"])
        after = waiting.result(20)
    assert after.status == 200
    assert after.document["generation"] > before.document["generation"]


@every_client
def test_a_watch_tells_the_state_at_once_and_every_change(daemon: Daemon, name: str) -> None:
    target = f"/v1/tickets/for-{name}"
    first = ask(daemon, name, f"{target}/watch", lines=1)
    assert first.status == 200
    assert first.document["type"] == "ticket"
    await_connections(daemon, 0)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(ask, daemon, name, f"{target}/watch", lines=2)
        await_connections(daemon, 1)
        daemon.client.refuse(f"for-{name}", first.document["generation"])
        second = watching.result(20)
    assert second.document["type"] == "ticket"
    assert second.document["generation"] > first.document["generation"]


@every_client
def test_hanging_up_early_leaves_nothing_behind(daemon: Daemon, name: str) -> None:
    for _ in range(3):
        ask(daemon, name, "/v1/tickets/front-door/watch", lines=1)
    await_connections(daemon, 0)
    assert ask(daemon, name, "/v1/tickets/front-door").status == 200
    assert "defect.found" not in daemon.log()
