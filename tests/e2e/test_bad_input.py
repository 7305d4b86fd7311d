"""Bad input: each a message with its remedy, the right exit code or status, and nothing lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from broker.client import Problem
from broker.sandbox import CloudThread, Fault, credentials, follow_login
from tests.e2e.daemon import ROOT, Daemon, account, run_serve, ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


def refused(daemon: Daemon, exit_code: int, *words: str) -> str:
    found = run_serve(daemon.config)
    assert found.returncode == exit_code, found.stderr
    for word in words:
        assert word in found.stderr
    assert "hint:" in found.stderr or "problem" in found.stderr.lower() or ";" in found.stderr
    assert "Traceback" not in found.stderr
    return found.stderr


def test_all_problems_of_a_configuration_are_told_at_once(cloud: Cloud, tmp_path: Path) -> None:
    text = account(cloud, tmp_path) + ticket().replace(credentials.PLANT_ID, "not-a-uuid") + "colour = 1\n"
    told = refused(Daemon(tmp_path, text), 2, "plant_id", "colour")
    assert told.count(str(tmp_path / "broker.toml")) == 2, "each problem once"


def test_a_secret_in_the_file_is_refused_and_not_repeated(cloud: Cloud, tmp_path: Path) -> None:
    text = account(cloud, tmp_path).replace(f"file:{tmp_path}/client-secret", "hunter2-canary")
    assert "hunter2-canary" not in refused(Daemon(tmp_path, text), 2, "client_secret")


def test_a_secret_file_that_others_can_read_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    text = account(cloud, tmp_path)
    (tmp_path / "client-secret").chmod(0o644)
    refused(Daemon(tmp_path, text), 2, "client-secret")


def test_a_living_brokers_socket_is_not_stolen(cloud: Cloud, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with Daemon(first, account(cloud, first) + ticket()) as living:
        other = Daemon(second, account(cloud, second) + ticket())
        other.config.write_text(other.config.read_text().replace(str(other.socket_path), str(living.socket_path)))
        refused(other, 1, str(living.socket_path))
        assert living.client.status()["version"]


def test_a_second_broker_on_one_state_directory_is_refused_and_told_who_holds_it(cloud: Cloud, tmp_path: Path) -> None:
    with Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as living:
        assert living.process is not None
        found = run_serve(living.config)
        assert found.returncode == 1
        assert str(living.process.pid) in found.stderr


def test_a_stale_socket_is_replaced(cloud: Cloud, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "broker.sock"))
    with Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon:
        assert daemon.client.status()["version"]


def test_a_taken_login_port_refuses_the_start(cloud: Cloud, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = Daemon(tmp_path, account(cloud, tmp_path) + ticket())
        daemon.config.write_text(daemon.config.read_text().replace('listen = ""', f'listen = "{listen}"'))
        refused(daemon, 1, listen)


def test_a_bad_file_under_socket_activation_starts_degraded_and_reload_repairs_it(cloud: Cloud, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "nonsense = true\n")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(daemon.socket_path))
        listening.listen()
        launcher = (
            "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.environ['LISTEN_FDS'] = '1';"
            f"os.dup2({listening.fileno()}, 3); os.set_inheritable(3, True);"
            f"os.execv(sys.executable, [sys.executable, '-m', 'broker', 'serve', '--config', {str(daemon.config)!r}])"
        )
        with daemon.errors.open("wb") as errors:
            daemon.process = subprocess.Popen(
                [sys.executable, "-c", launcher],
                pass_fds=[listening.fileno()],
                cwd=ROOT,
                stderr=errors,
                env={"PATH": os.environ["PATH"]},
            )
    daemon.wait_up()
    try:
        assert (daemon.problem().code, daemon.problem().status) == ("config_error", 502)
        with pytest.raises(Problem) as still_bad:
            daemon.client.reload()
        assert still_bad.value.code == "config_error"
        daemon.write(account(cloud, tmp_path) + ticket())
        daemon.client.reload()
        daemon.login(cloud)
        assert daemon.client.ticket("front-door", wait=30).value
    finally:
        daemon.stop()


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        "   ",
        "rubbish with words",
        "http://localhost:8400/callback",
        "x" * 20_000,
        "?state=1&state=2&code=3",
        "http://[",
    ],
)
def test_pasted_rubbish_is_told_and_leaves_the_login_as_it_is(daemon: Daemon, cloud: Cloud, pasted: str) -> None:
    daemon.client.login("home")
    with pytest.raises(Problem) as refusal:
        daemon.client.complete_login("home", pasted)
    assert (refusal.value.code, refusal.value.status) == ("bad_request", 400)
    assert daemon.client.account("home")["state"] == "logged_in"


@pytest.fixture(scope="module")
def daemon(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("pasting")
    with Daemon(directory, account(cloud, directory) + ticket()) as started:
        started.login(cloud)
        yield started


def test_a_wrong_state_an_error_and_a_code_used_twice_are_refused(daemon: Daemon, cloud: Cloud) -> None:
    def refusal(response: str) -> Problem:
        with pytest.raises(Problem) as found:
            daemon.client.complete_login("home", response)
        assert (found.value.code, found.value.status) == ("bad_request", 400)
        assert daemon.client.account("home")["state"] == "logged_in"
        return found.value

    begun = daemon.client.login("home")
    landed = follow_login(begun["authorization_url"], cloud.ca_file)
    refusal(landed.replace("state=", "state=x"))
    daemon.client.complete_login("home", landed)
    refusal(landed)
    begun = daemon.client.login("home")
    cancelled = follow_login(begun["authorization_url"], cloud.ca_file, answer="cancel")
    assert "cancel" in refusal(cancelled).detail
    begun = daemon.client.login("home")
    state = follow_login(begun["authorization_url"], cloud.ca_file).partition("state=")[2].partition("&")[0]
    refusal(f"http://localhost:8400/callback?code=used-before&state={state}")
    refusal("a-bare-code-without-pkce")


def test_a_second_login_voids_the_first(daemon: Daemon, cloud: Cloud) -> None:
    first = daemon.client.login("home")
    second = daemon.client.login("home")
    with pytest.raises(Problem):
        daemon.client.complete_login("home", follow_login(first["authorization_url"], cloud.ca_file))
    daemon.client.complete_login("home", follow_login(second["authorization_url"], cloud.ca_file))


def test_another_person_is_refused_until_logout(daemon: Daemon, cloud: Cloud) -> None:
    begun = daemon.client.login("home")
    landed = follow_login(begun["authorization_url"], cloud.ca_file, user=credentials.OTHER_USER)
    with pytest.raises(Problem) as refusal:
        daemon.client.complete_login("home", landed)
    assert refusal.value.code == "bad_request"
    assert daemon.client.account("home")["subject"] == credentials.USER_SUB


def test_a_cloud_that_is_away_at_login_says_so_and_the_code_may_be_pasted_again(daemon: Daemon, cloud: Cloud) -> None:
    begun = daemon.client.login("home")
    landed = follow_login(begun["authorization_url"], cloud.ca_file)
    cloud.script.add("token", Fault(503, "down"))
    with pytest.raises(Problem) as refusal:
        daemon.client.complete_login("home", landed)
    assert refusal.value.code == "upstream_unavailable"
    assert daemon.client.complete_login("home", landed)["state"] == "logged_in"


def test_what_cannot_be_bound_is_told(cloud: Cloud, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, account(cloud, tmp_path) + ticket())
    daemon.config.write_text(daemon.config.read_text().replace(str(daemon.socket_path), "/proc/no/broker.sock"))
    refused(daemon, 2, "/proc/no")
