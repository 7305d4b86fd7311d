"""What users of sister projects complain of, most often first: each reproduced, and answered with cause and remedy.

The answers are in golden/complaints.txt as a person sees them; UPDATE_GOLDEN=1 writes it anew, to be read before it is
kept. Seconds, paths and ports are replaced, for they differ.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from broker.client import Problem
from broker.sandbox import CloudThread, Fault, api_fault, credentials, follow_login, token_fault
from tests.e2e.daemon import Daemon, account, ticket
from tests.operate.command import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow
GOLDEN = Path(__file__).parent / "golden" / "complaints.txt"
ACCOUNTS = ("quota", "rate", "died", "reply", "secret", "format", "outage", "wrong", "damaged", "headless", "hangs")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with CloudThread() as started:
        yield started


def configuration(cloud: Cloud, directory: Path) -> str:
    return "".join(
        account(cloud, directory, name, api='timeout = "1s"')
        + ticket(f"door-{name}", of=name, more='warm = "on-demand"')
        for name in ACCOUNTS
    )


@pytest.fixture(scope="module")
def daemon(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("complaints")
    with Daemon(directory, configuration(cloud, directory)) as started:
        for name in ACCOUNTS:
            if name not in {"reply", "headless"}:
                started.login(cloud, name)
        yield started


@pytest.fixture(autouse=True)
def fine_weather(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.script.release()
    cloud.script.clear()
    cloud.options.change(call_in_shape="normal", user=credentials.USER, login_answer="accept")


def chapters() -> dict[str, str]:
    text = GOLDEN.read_text() if GOLDEN.exists() else ""
    return dict(re.findall(r"^== (.+)\n((?:(?!== ).*\n)*)", text, re.MULTILINE))


def normalised(text: str, daemon: Daemon) -> str:
    text = text.replace(str(daemon.directory), "DIR")
    text = re.sub(r"https?://\S+", "URL", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    return re.sub(r"\b\d+ (s|min|h|d)\b", r"N \1", text)


def check(title: str, daemon: Daemon, *arguments: str, given: str = "") -> str:
    """Run a command and hold what it says against the golden file."""
    done = run(*arguments, socket=daemon.socket_path, given=given)
    said = f"$ eliot-broker {' '.join(arguments)}\n{normalised(done.stderr, daemon)}exit {done.returncode}\n"
    assert "eyJ" not in done.stderr
    known = chapters()
    if os.environ.get("UPDATE_GOLDEN"):
        known[title] = said
        GOLDEN.write_text("".join(f"== {name}\n{body}" for name, body in sorted(known.items())))
    assert said == known.get(title), said
    return said


def test_1_the_quota_is_used_up_and_not_one_call_more_is_made(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("call_in", api_fault("quota"), times=1)
    before = cloud.calls.count("call_in")
    for _ in range(3):
        check("1 quota", daemon, "ticket", "door-quota")
    assert cloud.calls.count("call_in") - before == 1


def test_1_too_many_requests_are_waited_out(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("call_in", api_fault("rate_limit"), times=1)
    before = cloud.calls.count("call_in")
    for _ in range(3):
        check("1 rate limit", daemon, "ticket", "door-rate")
    assert cloud.calls.count("call_in") - before == 1


def test_2_a_login_that_died_says_so(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("token", token_fault("90129"), times=1)
    check("2 the login died", daemon, "refresh", "died")
    problem = next(row for row in daemon.client.status()["problems"] if row["subject"] == "account died")
    assert (problem["remedy"], problem["hint"]) == ("login", "run: eliot-broker login died")


def test_3_a_reply_url_that_is_not_registered(cloud: Cloud, daemon: Daemon) -> None:
    begun = daemon.client.login("reply")
    landed = follow_login(begun["authorization_url"], cloud.ca_file)
    cloud.script.add("token", token_fault("90006"), times=1)
    with pytest.raises(Problem, match="90006") as told:
        daemon.client.complete_login("reply", landed)
    assert "trailing slash included" in str(told.value.hint)
    daemon.client.logout("reply")
    check("3 the reply URL", daemon, "login", "reply", "--paste", given="")


def test_4_an_expired_client_secret_is_renewed_without_another_login(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("token", token_fault("90081"), times=1)
    check("4 the client secret expired", daemon, "refresh", "secret")
    before = daemon.client.account("secret")["logged_in_at"]
    assert daemon.client.refresh("secret")["state"] == "logged_in"
    assert daemon.client.account("secret")["logged_in_at"] == before


def test_5_an_answer_of_another_shape_is_no_crash(cloud: Cloud, daemon: Daemon) -> None:
    cloud.options.change(call_in_shape="wrapped")
    check("5 the answer changed", daemon, "ticket", "door-format")


def test_5_an_outage_is_told_with_what_the_broker_does(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("call_in", api_fault("unavailable"), times=1)
    check("5 an outage", daemon, "ticket", "door-outage")


def test_6_consent_given_with_the_wrong_account(cloud: Cloud, daemon: Daemon) -> None:
    cloud.options.change(user=credentials.OTHER_USER)
    begun = daemon.client.login("wrong")
    landed = follow_login(begun["authorization_url"], cloud.ca_file)
    with pytest.raises(Problem, match="another person") as told:
        daemon.client.complete_login("wrong", landed)
    assert 'prompt = "login"' in str(told.value.hint)
    assert daemon.client.account("wrong")["state"] == "logged_in", "the present login is untouched"


CALLBACKS = [
    ("access_denied", "AADB2C90091: The user has cancelled.", "cancelled", "log in again and accept"),
    ("access_denied", "AADB2C90118: The user has forgotten their password.", "new password", "set a new password"),
    ("redirect_uri_mismatch", "AADB2C90006: Not registered.", "90006", "trailing slash included"),
    ("server_error", "AADB2C90035: Busy.", "could not do the login now", "in a few minutes"),
    ("invalid_request", "AADB2C90007: Wrong.", "refused the login", "check authority"),
    ("unauthorized_client", "", "refused the login", "may not use this grant"),
    ("\x1b[31m", "\x1b[2Jgone", "refused the login", "log in again"),
]


@pytest.mark.parametrize(("error", "description", "cause", "remedy"), CALLBACKS, ids=[row[2] for row in CALLBACKS])
def test_every_callback_error_is_explained_and_costs_nothing(
    daemon: Daemon, error: str, description: str, cause: str, remedy: str
) -> None:
    state = re.search(r"state=([^&]+)", daemon.client.login("wrong")["authorization_url"])
    assert state
    query = urlencode({"error": error, "error_description": description})
    with pytest.raises(Problem, match=cause) as told:
        daemon.client.complete_login("wrong", f"{credentials.REDIRECT_URI}?{query}&state={state[1]}")
    assert remedy in str(told.value.hint)
    assert told.value.detail.isprintable()
    assert daemon.client.account("wrong")["state"] == "logged_in"


def test_9_a_login_on_a_machine_without_a_screen(cloud: Cloud, daemon: Daemon) -> None:
    check("9 nothing was pasted", daemon, "login", "headless", "--paste")
    begun = daemon.client.login("headless")
    landed = follow_login(begun["authorization_url"], cloud.ca_file)
    assert daemon.client.complete_login("headless", landed)["state"] == "logged_in"


def test_9_a_request_that_hangs_ends(cloud: Cloud, daemon: Daemon) -> None:
    cloud.script.add("call_in", Fault(hang="before_commit"), times=1)
    check("9 a request that hangs", daemon, "ticket", "door-hangs")


def test_z7_a_damaged_state_file_is_set_aside_and_said(cloud: Cloud, daemon: Daemon) -> None:
    daemon.stop()
    for file in (daemon.directory / "state").glob("account-damaged*"):
        file.write_bytes(b"\0" * file.stat().st_size)
    daemon.start().wait_up()
    check("7 the state was damaged", daemon, "ticket", "door-damaged")
    assert daemon.client.account("hangs")["state"] == "logged_in", "the others are untouched"


def test_z8_no_secret_is_in_anything_that_was_written(daemon: Daemon) -> None:
    text = daemon.log() + GOLDEN.read_text()
    assert "eyJ" not in text
    for secret in (credentials.PARTNER_CLIENT_SECRET, credentials.SUBSCRIPTION_KEY):
        assert secret not in text
