"""`probe` against the stand-in cloud: it finds each of the four forms, and costs what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, api_fault
from tests.e2e.daemon import Daemon, account, ticket
from tests.operate.command import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow
FORMS = [("id_token", ""), ("access_token", "Bearer"), ("id_token", "Bearer"), ("access_token", "")]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


@pytest.fixture(scope="module")
def daemon(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("probe")
    with Daemon(directory, account(cloud, directory) + ticket(more='warm = "on-demand"')) as started:
        started.login(cloud)
        yield started


@pytest.fixture(autouse=True)
def fine_weather(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.script.clear()
    cloud.options.change(api_token="id_token", api_scheme="", gateway_online=True)


def used(daemon: Daemon) -> int:
    quota: dict[str, int] = daemon.client.status()["accounts"][0]["quota"]
    return quota["used"]


@pytest.mark.parametrize(("token", "scheme"), FORMS)
def test_the_form_that_the_operation_wants_is_found_and_every_call_counted(
    daemon: Daemon, cloud: Cloud, token: str, scheme: str
) -> None:
    cloud.options.change(api_token=token, api_scheme=scheme)
    before, counted = cloud.calls.count("call_in"), used(daemon)
    found = run("probe", "front-door", socket=daemon.socket_path)
    assert (found.returncode, found.stdout) == (0, f'token = "{token}"\nscheme = "{scheme}"\n'), found.stderr
    calls = cloud.calls.count("call_in") - before
    assert calls == used(daemon) - counted <= 4
    assert ("1 call made" if calls == 1 else f"{calls} calls made") in found.stderr
    assert "eyJ" not in found.stdout + found.stderr


def test_a_door_that_is_refused_in_every_form_is_no_question_of_the_token(daemon: Daemon, cloud: Cloud) -> None:
    cloud.script.add("call_in", api_fault("unauthorized"), times=4)
    found = run("probe", "front-door", socket=daemon.socket_path)
    assert (found.returncode, found.stdout) == (5, "")
    assert "4 calls made" in found.stderr
    assert "check plant_id, device_id" in found.stderr


def test_an_answer_about_something_else_ends_the_probe_at_once(daemon: Daemon, cloud: Cloud) -> None:
    cloud.script.add("call_in", api_fault("invalid_subscription_key"), times=4)
    found = run("probe", "front-door", "--json", socket=daemon.socket_path)
    told = json.loads(found.stdout)
    assert (found.returncode, told["calls"], told["found"]) == (5, 1, None)
    assert told["attempts"][0]["verdict"] == "stopped"


def test_a_gateway_that_is_offline_shows_that_the_token_was_not_refused(daemon: Daemon, cloud: Cloud) -> None:
    cloud.options.change(gateway_online=False)
    told = json.loads(run("probe", "front-door", "--json", socket=daemon.socket_path).stdout)
    assert (told["found"], told["certain"], told["calls"]) == ({"token": "id_token", "scheme": ""}, False, 1)


def test_a_probe_that_the_quota_forbids_makes_no_call(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("call_in", api_fault("quota"), times=1)
    run("probe", "front-door", socket=daemon.socket_path)
    before = cloud.calls.count("call_in")
    found = run("probe", "front-door", socket=daemon.socket_path)
    assert found.returncode == 5
    assert cloud.calls.count("call_in") == before
    assert "hint: probe again when the quota is replenished" in found.stderr


def test_an_unknown_ticket_and_a_bad_body_are_refused(daemon: Daemon) -> None:
    assert run("probe", "nowhere", socket=daemon.socket_path).returncode == 2
