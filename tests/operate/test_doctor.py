"""`doctor` against a real daemon and the stand-in cloud: what it finds, what it says to do, what it spends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.doctor.configuration import _environment
from broker.sandbox import CloudThread
from tests.e2e.daemon import Daemon, account, ticket
from tests.operate.command import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


@pytest.fixture(scope="module")
def daemon(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("doctor")
    with Daemon(directory, account(cloud, directory) + ticket(more='warm = "on-demand"')) as started:
        started.login(cloud)
        yield started


@pytest.fixture(autouse=True)
def fine_weather(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.script.clear()
    cloud.options.change(clock_skew_seconds=0.0)


def examine(daemon: Daemon, *more: str, config: Path | None = None) -> tuple[int, list[dict[str, Any]]]:
    arguments = ["doctor", "--json", "--config", str(config or daemon.config), *more]
    found = run(*arguments, socket=daemon.socket_path)
    assert found.stdout, found.stderr
    return found.returncode, json.loads(found.stdout)["findings"]


def of(findings: list[dict[str, Any]], level: str) -> list[dict[str, Any]]:
    return [finding for finding in findings if finding["level"] == level]


def test_all_is_well_and_nothing_is_spent(daemon: Daemon, cloud: Cloud) -> None:
    before = cloud.calls.count("call_in"), cloud.calls.count("token")
    code, findings = examine(daemon)
    assert (code, of(findings, "problem"), of(findings, "warning")) == (0, [], [])
    areas = {finding["area"] for finding in findings}
    assert areas >= {"versions", "configuration", "permissions", "dns", "tls", "clock", "metadata", "keys", "socket"}
    assert (cloud.calls.count("call_in"), cloud.calls.count("token")) == before


def test_the_subscription_key_is_proved_only_when_asked(daemon: Daemon, cloud: Cloud) -> None:
    before = cloud.calls.count("call_in")
    code, findings = examine(daemon, "--call", "front-door")
    assert (code, cloud.calls.count("call_in") - before) == (0, 1)
    assert "a ticket came" in findings[-1]["text"]


def test_every_problem_has_a_remedy_and_the_first_decides_the_exit_code(daemon: Daemon, tmp_path: Path) -> None:
    bad = tmp_path / "broker.toml"
    bad.write_text("[socket]\nmood = 1\n[log]\nlevel = 3\n")
    code, findings = examine(daemon, config=bad)
    assert code == 2
    assert len(of(findings, "problem")) == 2
    assert all(finding["remedy"] for finding in findings if finding["level"] != "ok")


def test_a_cloud_that_is_not_there_is_told_with_its_host(daemon: Daemon, tmp_path: Path) -> None:
    elsewhere = tmp_path / "broker.toml"
    text = daemon.config.read_text()
    port = text.split("https://127.0.0.1:")[1].split("/")[0].split('"')[0]
    elsewhere.write_text(text.replace(f":{port}", ":1"))
    code, findings = examine(daemon, config=elsewhere)
    assert code == 5
    assert "connection refused" in of(findings, "problem")[0]["text"]


def test_a_certificate_of_an_unknown_authority_is_explained(daemon: Daemon, tmp_path: Path) -> None:
    trusting = tmp_path / "broker.toml"
    lines = [line for line in daemon.config.read_text().splitlines() if not line.startswith("ca_file")]
    trusting.write_text("\n".join(lines))
    _, findings = examine(daemon, config=trusting)
    problem = of(findings, "problem")[0]
    assert problem["area"] == "tls"
    assert "ca_file" in problem["remedy"]


@pytest.mark.parametrize(("skew", "level"), [(90.0, "warning"), (-900.0, "problem")])
def test_a_wrong_clock_is_told(daemon: Daemon, cloud: Cloud, skew: float, level: str) -> None:
    cloud.options.change(clock_skew_seconds=skew)
    _, findings = examine(daemon)
    clock = next(finding for finding in findings if finding["area"] == "clock")
    assert clock["level"] == level
    assert "NTP" in clock["remedy"]


def test_files_that_others_may_write_or_read_are_told(daemon: Daemon) -> None:
    daemon.config.chmod(0o666)
    (daemon.directory / "state").chmod(0o755)
    try:
        code, findings = examine(daemon, "--offline")
    finally:
        daemon.config.chmod(0o644)
        (daemon.directory / "state").chmod(0o700)
    told = " ".join(finding["text"] + finding["remedy"] for finding in of(findings, "problem"))
    assert code == 2
    assert "writable by everybody" in told
    assert "chmod 0700" in told


def test_a_daemon_that_does_not_run_is_told_with_how_to_start_it(daemon: Daemon, tmp_path: Path) -> None:
    found = run("doctor", "--offline", "--config", str(daemon.config), socket=tmp_path / "nobody.sock")
    assert found.returncode == 3
    assert "PROBLEM socket:" in found.stdout
    assert "systemctl" in found.stdout


def test_a_login_that_is_missing_is_the_first_problem(cloud: Cloud, tmp_path: Path) -> None:
    with Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as fresh:
        found = run("doctor", "--config", str(fresh.config), socket=fresh.socket_path)
    assert found.returncode == 4
    assert "hint: run: eliot-broker login home" in found.stdout


def test_secrets_that_only_the_service_sees_do_not_hide_the_rest(daemon: Daemon, tmp_path: Path) -> None:
    sealed = tmp_path / "broker.toml"
    text = daemon.config.read_text().replace(f"file:{daemon.directory}/client-secret", "credential:home-secret")
    sealed.write_text(text.replace(f"file:{daemon.directory}/subscription-key", "env:HOME_KEY"))
    code, findings = examine(daemon, config=sealed)
    assert code == 0
    told = [finding["text"] for finding in of(findings, "warning")]
    assert told == ["credential:home-secret cannot be seen from here", "env:HOME_KEY is not set here"]
    assert "placeholder" not in json.dumps(findings)


def test_a_credential_that_it_can_see_is_looked_at_where_it_is_and_never_copied(tmp_path: Path) -> None:
    kept, place = tmp_path / "credentials", tmp_path / "place"
    kept.mkdir()
    place.mkdir()
    (kept / "home-secret").write_text("hush")
    (tmp_path / "broker.toml").write_text('a = "credential:home-secret"\nb = "credential:elsewhere"\n')
    environ, stand_ins = _environment(tmp_path / "broker.toml", {"CREDENTIALS_DIRECTORY": str(kept)}, place)
    assert stand_ins == {"credential:elsewhere"}
    assert environ["CREDENTIALS_DIRECTORY"] == str(place)
    assert (place / "home-secret").is_symlink()
    assert (place / "home-secret").read_text() == "hush"
