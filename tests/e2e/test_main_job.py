"""The main job from outside: log in once, vend, renew, survive restarts; a valid ticket is never withheld."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from broker.client import Problem, Unreachable
from broker.sandbox import CAPTIVE_PORTAL, CloudThread, Fault, Options, credentials, follow_login
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.waiting import pause, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow
JWT = re.compile(r"eyJ[\w-]{8}", re.ASCII)  # three letters alone stand in every so many kilobytes of ciphertext


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with CloudThread(Options()) as started:
        yield started


@pytest.mark.parametrize("provider", ["partner", "b2c", "oidc"])
def test_a_ticket_travels_the_whole_way_with_each_provider(cloud: Cloud, tmp_path: Path, provider: str) -> None:
    with Daemon(tmp_path, account(cloud, tmp_path, provider=provider) + ticket()) as daemon:
        assert daemon.problem().code == "login_required"
        row = daemon.login(cloud)
        assert row["state"] == "logged_in"
        found = daemon.client.ticket("front-door", wait=30)
        assert found.value.count(".") == 2
        assert found.plant_id == credentials.PLANT_ID
        call = cloud.calls.of("call_in")[0]
        assert call.status == 200


def test_a_restart_costs_no_login_and_no_call(cloud: Cloud, tmp_path: Path) -> None:
    text = account(cloud, tmp_path) + ticket()
    with Daemon(tmp_path, text) as daemon:
        daemon.login(cloud)
        before = daemon.client.ticket("front-door", wait=30)
    calls, tokens = cloud.calls.count("call_in"), cloud.calls.count("token")
    with Daemon(tmp_path, text) as daemon:
        after = daemon.client.ticket("front-door")
        assert (after.value, after.generation) == (before.value, before.generation)
    assert (cloud.calls.count("call_in"), cloud.calls.count("token")) == (calls, tokens)


def test_tickets_and_id_tokens_are_replaced_before_they_expire(cloud: Cloud, tmp_path: Path) -> None:
    cloud.options.change(ticket_seconds=9, id_token_seconds=12)
    with Daemon(tmp_path, account(cloud, tmp_path, api="daily_quota = 0") + ticket()) as daemon:
        daemon.login(cloud)
        first = daemon.client.ticket("front-door", wait=30)
        seen = {first.generation}

        def replaced() -> bool:
            found = daemon.client.ticket("front-door")
            assert found.expires_in >= 0
            seen.add(found.generation)
            return len(seen) >= 3 and cloud.calls.count("token") >= 3  # the login and two refreshes

        until(replaced, seconds=60)


@pytest.mark.parametrize(
    "fault",
    [Fault(hang="before_commit"), Fault(reset="before_reading"), CAPTIVE_PORTAL],
    ids=["hangs", "refuses", "nonsense"],
)
def test_a_valid_ticket_is_served_whatever_the_cloud_does(cloud: Cloud, tmp_path: Path, fault: Fault) -> None:
    cloud.options.change(ticket_seconds=12, id_token_seconds=12)
    with Daemon(tmp_path, account(cloud, tmp_path, api="daily_quota = 0") + ticket()) as daemon:
        daemon.login(cloud)
        daemon.client.ticket("front-door", wait=30)
        for endpoint in ("token", "call_in", "keys", "metadata"):
            cloud.script.add(endpoint, fault, times=None)
        daemon.client.timeout_seconds = 2  # an answer that waited for the cloud would come too late

        def stale() -> bool:
            daemon.client.ticket("front-door")
            return bool(daemon.client.status()["tickets"][0]["state"] == "stale")

        until(stale, seconds=60)
        for _ in range(10):
            daemon.client.ticket("front-door")


def test_a_canary_in_every_secret_is_found_nowhere_but_where_it_belongs(cloud: Cloud, tmp_path: Path) -> None:
    cloud.options.change(ticket_seconds=5, id_token_seconds=6, rotation="strict")
    with Daemon(tmp_path, account(cloud, tmp_path, api="daily_quota = 0") + ticket()) as daemon:
        begun = daemon.client.login("home")
        landed = follow_login(begun["authorization_url"], cloud.ca_file)
        with pytest.raises(Problem):
            daemon.client.complete_login("home", landed.replace("state=", "state=x"))
        daemon.client.complete_login("home", landed)
        with pytest.raises(Problem):
            daemon.client.complete_login("home", landed)
        vended = daemon.client.ticket("front-door", wait=30)
        id_token = daemon.client.id_token("home").value
        for fault in (CAPTIVE_PORTAL, Fault(500, "{"), Fault(400, '{"error": "temporarily_unavailable"}')):
            cloud.script.add("token", fault)
            cloud.script.add("call_in", fault)
        pause(8)
        secrets = {
            "client secret": credentials.PARTNER_CLIENT_SECRET,
            "subscription key": credentials.SUBSCRIPTION_KEY,
            "code": landed.split("code=")[1].split("&")[0],
            "ticket": vended.value,
            "id token": id_token,
        }
        status = json.dumps(daemon.client.status()) + json.dumps(daemon.client.accounts())
        assert daemon.process is not None
        proc = b"".join(
            (tmp_path.__class__(f"/proc/{daemon.process.pid}") / name).read_bytes() for name in ("cmdline", "environ")
        ).decode()
        daemon.stop()
        state = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir() if path.is_file())
        places = {"log": daemon.log(), "status": status, "proc": proc, "state": state.decode("latin-1")}
        for place, text in places.items():
            assert JWT.search(text) is None, f"a JWT stands in the {place}"
            for name, secret in secrets.items():
                assert secret not in text, f"the {name} stands in the {place}"
        assert "refresh" in daemon.log()


def test_logout_drops_everything_and_saying_it_twice_is_fine(cloud: Cloud, tmp_path: Path) -> None:
    published = tmp_path / "published" / "front-door.jwt"
    published.parent.mkdir(mode=0o755)
    text = account(cloud, tmp_path) + ticket(more=f'publish = {{ path = "{published}" }}')
    with Daemon(tmp_path, text) as daemon:
        daemon.login(cloud)
        found = daemon.client.ticket("front-door", wait=30)
        until(published.exists, seconds=30)
        assert published.read_text().strip() == found.value
        assert daemon.client.logout("home")["state"] == "logged_out"
        assert daemon.client.logout("home")["state"] == "logged_out"
        assert not published.exists()
        assert daemon.problem().code == "login_required"


def test_sigterm_ends_it_quickly_and_cleanly(cloud: Cloud, tmp_path: Path) -> None:
    with Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon:
        daemon.login(cloud)
        daemon.client.ticket("front-door", wait=30)
        assert daemon.stop(signal.SIGTERM) == 0
        assert not daemon.socket_path.exists()
        with pytest.raises(Unreachable):
            daemon.client.status()
