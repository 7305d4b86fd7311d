"""Told in time: a real daemon runs a real hook for each of the six kinds of news, and the examples deliver it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from broker.adapters.hook_words import SENTENCES, sentence
from broker.adapters.hooks import LIMIT_SECONDS
from broker.client import Problem, operations
from broker.events import EVENTS
from broker.sandbox import CloudThread, api_fault
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

HOOK = """#!/bin/sh
printf '%s|%s|%s\\n' "$BROKER_EVENT" "${BROKER_ACCOUNT:-}${BROKER_TICKET:-}" "$BROKER_TEXT" >> "$(dirname "$0")/told"
"""
EXAMPLES = ROOT / "config" / "hooks"


class News:
    """What the hook was told."""

    def __init__(self, directory: Path) -> None:
        self.script = directory / "hook.sh"
        self.script.write_text(HOOK)
        self.script.chmod(0o755)
        self.file = directory / "told"

    def of(self, event: str) -> list[str]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [line for line in lines if line.startswith(f"{event}|")]

    def wait(self, event: str, count: int = 1) -> str:
        until(lambda: len(self.of(event)) >= count, seconds=60, what=lambda: f"{event}: {self.file.read_text()}")
        return self.of(event)[-1]


@pytest.mark.slow
def test_each_kind_of_news_reaches_the_hook_with_what_to_do(tmp_path: Path) -> None:
    news = News(tmp_path)
    hooks = f'[hooks]\ncommand = ["{news.script}"]\n'
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket() + hooks) as daemon:
        assert "eliot-broker why front-door" in news.wait("ticket.unavailable")
        daemon.login(cloud)
        assert "logged in to home" in news.wait("login.completed")
        assert "can be had again" in news.wait("ticket.recovered")
        cloud.script.add("call_in", api_fault("quota"), times=1)
        held = daemon.client.ticket("front-door", wait=30)
        with pytest.raises(Problem):
            daemon.client.refuse("front-door", held.generation)
        assert "no call for " in news.wait("quota.exhausted")
        cloud.revoke()
        with pytest.raises(Problem):
            daemon.client.refresh("home")
        assert "run: eliot-broker login home" in news.wait("login.required")
    assert "eyJ" not in news.file.read_text()


@pytest.mark.slow
def test_each_of_the_six_kinds_is_told_once_in_order_and_with_its_facts_over_a_restart_too(tmp_path: Path) -> None:
    script = tmp_path / "facts.sh"
    script.write_text('#!/bin/sh\n{ env | grep ^BROKER_ | tr "\\n" "\\037"; echo; } >> "$(dirname "$0")/facts"\n')
    script.chmod(0o755)
    closing = '[accounts.home.oauth]\nsliding_window = "11h"\n'  # of the provider: a login is needed every 11 hours
    with CloudThread() as cloud:
        text = f'{account(cloud, tmp_path)}{ticket()}[hooks]\ncommand = ["{script}"]\n'
        with Daemon(tmp_path, text + closing):
            wait_for_facts(tmp_path, "ticket.unavailable")
        with Daemon(tmp_path, text + closing) as daemon:
            daemon.login(cloud)
            wait_for_facts(tmp_path, "ticket.recovered")
            daemon.write(text)
            daemon.client.reload()
            daemon.client.refresh("home")
            wait_for_facts(tmp_path, "login.renewed")
            cloud.script.add("call_in", api_fault("quota"), times=1)
            with pytest.raises(Problem):
                daemon.client.refuse("front-door", daemon.client.ticket("front-door").generation)
            wait_for_facts(tmp_path, "quota.exhausted")
            cloud.revoke()
            with pytest.raises(Problem):
                daemon.client.refresh("home")
            wait_for_facts(tmp_path, "login.required")
    told = [each for each in facts(tmp_path) if each["EVENT"] in SIX]
    assert [(each["EVENT"], each.get("ACCOUNT") or each.get("TICKET")) for each in told] == [
        ("ticket.unavailable", "front-door"),
        ("login.ending", "home"),
        ("ticket.recovered", "front-door"),
        ("login.renewed", "home"),
        ("quota.exhausted", "home"),
        ("login.required", "home"),
    ]
    unavailable, ending, _, _, quota, required = told
    assert unavailable["CODE"] == "login_required"
    assert ending["THRESHOLD"] == "12h"
    assert 10 * 3600 < int(ending["LOGIN_LEFT_SECONDS"]) <= 11 * 3600
    assert 25_000 < int(quota["RETRY_AFTER_SECONDS"]) <= 25_280, "07:01:20, as the cloud said"
    assert "the login was revoked" in required["DETAIL"]
    assert all(each["TEXT"] for each in told)


SIX = {"login.required", "login.ending", "login.renewed", "quota.exhausted", "ticket.unavailable", "ticket.recovered"}


def facts(directory: Path) -> list[dict[str, str]]:
    """What each run of the hook was told, in order, without the BROKER_."""
    file = directory / "facts"
    lines = file.read_text().splitlines() if file.exists() else []
    return [
        {name.removeprefix("BROKER_"): value for name, _, value in (fact.partition("=") for fact in line.split("\037"))}
        for line in lines
    ]


def wait_for_facts(directory: Path, event: str) -> None:
    """Until the hook was told of an event."""
    until(
        lambda: any(each.get("EVENT") == event for each in facts(directory)),
        seconds=60,
        what=lambda: f"{event}: {facts(directory)}",
    )


@pytest.mark.slow
def test_the_last_news_is_told_at_a_stop_and_no_reminder_begins_anew_after_it(tmp_path: Path) -> None:
    news = News(tmp_path)
    hooks = f'[hooks]\ncommand = ["{news.script}"]\n'
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket() + hooks) as daemon:
        news.wait("ticket.unavailable")
        kept = tmp_path / "state" / "reminders.sealed"  # from the look after it: a stop before that keeps nothing
        until(kept.exists, seconds=60, what=daemon.log)
        assert daemon.stop() == 0
        assert len(news.of("service.stopping")) == 1
        assert kept.exists()


@pytest.mark.slow
def test_a_hook_that_hangs_does_not_hold_a_stop_up(tmp_path: Path) -> None:
    script = tmp_path / "hangs.sh"
    script.write_text('#!/bin/sh\necho >> "$0.called"; exec sleep 60\n')
    script.chmod(0o755)
    hooks = f'[hooks]\ncommand = ["{script}"]\n'
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket() + hooks) as daemon:
        until((tmp_path / "hangs.sh.called").exists, seconds=60, what=daemon.log)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < LIMIT_SECONDS - 1, "not even one hook's time is waited for"
    assert "was killed: the broker had to stop" in daemon.log()


@pytest.mark.slow
def test_a_broken_hook_is_in_the_status_until_it_works_again_or_is_taken_away(tmp_path: Path) -> None:
    script = tmp_path / "hook.sh"
    script.write_text('#!/bin/sh\n[ -e "$0.mended" ] || exit 7\necho "$BROKER_TEXT" >> "$0.told"\n')
    script.chmod(0o755)
    hooks = f'[hooks]\ncommand = ["{script}", "--token=hunter2"]\n'
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + hooks) as daemon:

        def trouble() -> dict[str, Any] | None:
            rows = daemon.client.status()["problems"]
            return next((row for row in rows if row["subject"] == "hook"), None)

        def is_told() -> bool:
            found = trouble()
            return found is not None and found["count"] >= 1  # the start's news was not told

        until(is_told, seconds=60, what=daemon.log)
        row = trouble()
        assert row is not None
        assert (row["code"], row["remedy"]) == ("config_error", "fix")
        assert f"{script} exited with 7; not told: " in row["detail"]
        assert str(script) in row["hint"]
        assert 0 <= daemon.client.status()["now"] - row["since"] <= 60
        assert "hunter2" not in json.dumps(daemon.client.status())
        assert daemon.client.exchange(operations.read("/readyz")).status == 200, "callers are served all the same"
        (tmp_path / "hook.sh.mended").touch()
        daemon.client.reload()
        until(lambda: trouble() is None, seconds=60, what=daemon.log)
        assert "the hook does not work" in (tmp_path / "hook.sh.told").read_text(), "what it missed is told now"
        (tmp_path / "hook.sh.mended").unlink()
        daemon.login(cloud)
        until(lambda: trouble() is not None, seconds=60, what=daemon.log)
        daemon.write(account(cloud, tmp_path))
        daemon.client.reload()
        assert trouble() is None


@pytest.mark.slow
def test_a_hook_that_is_put_in_by_a_reload_says_so_at_once(tmp_path: Path) -> None:
    news = News(tmp_path)
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path)) as daemon:
        daemon.write(account(cloud, tmp_path) + f'[hooks]\ncommand = ["{news.script}"]\n')
        daemon.client.reload()
        assert "told here from now on" in news.wait("hook.installed")


@pytest.mark.slow
def test_a_key_that_is_refused_is_told_while_the_last_ticket_is_still_valid(tmp_path: Path) -> None:
    news = News(tmp_path)
    hooks = f'[hooks]\ncommand = ["{news.script}"]\n'
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket() + hooks) as daemon:
        daemon.login(cloud)
        held = daemon.client.ticket("front-door", wait=30)
        cloud.options.change(subscription_keys=set())
        with pytest.raises(Problem):
            daemon.client.refuse("front-door", held.generation)
        assert "subscription key" in news.wait("problem.found")
        status = daemon.client.status()
    assert status["tickets"][0]["state"] != "unavailable"
    assert [row["code"] for row in status["problems"]] == ["config_error"]


def test_every_event_of_the_hooks_has_a_sentence_made_of_its_own_facts() -> None:
    told = {name for name, event in EVENTS.items() if event.hooks}
    assert told == set(SENTENCES)
    for name in told:
        facts = dict.fromkeys(EVENTS[name].facts, "x")
        assert "?" not in sentence(name, facts).replace("running?", ""), name


def test_the_six_kinds_of_news_are_told() -> None:
    wanted = {"login.required", "login.ending", "login.renewed", "quota.exhausted", "ticket.unavailable"}
    assert all(EVENTS[name].hooks for name in wanted | {"ticket.recovered"})
    assert not EVENTS["ticket.issued"].hooks, "every three minutes is no news"


@pytest.mark.parametrize("name", ["mail.sh", "ntfy.sh", "home-assistant.sh"])
def test_an_example_delivers_the_sentence(tmp_path: Path, name: str) -> None:
    for program in ("sendmail", "curl"):
        fake = tmp_path / program
        fake.write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$@"; [ "$1" = -i ] && cat; }} > "{tmp_path}/sent"\nexit 0\n')
        fake.chmod(0o755)
    facts = {"BROKER_EVENT": "login.required", "BROKER_ACCOUNT": "home", "BROKER_TEXT": 'say "hush" \\ now'}
    run = subprocess.run(
        [EXAMPLES / name, "target"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **facts}, check=False, timeout=10
    )
    assert run.returncode == 0
    sent = (tmp_path / "sent").read_text()
    assert "target" in sent
    if name == "home-assistant.sh":
        body = json.loads(next(line for line in sent.splitlines() if line.startswith("{")))
        assert body == {"event": "login.required", "subject": "home", "text": facts["BROKER_TEXT"]}
    else:
        assert facts["BROKER_TEXT"] in sent
        assert "login.required" in sent
