"""Nothing a person must do appears first in a log: every loud event has its place in the status, or a reason why not.

A real daemon is brought to say each of them, and its status is read while it is so. An event of level warning or
error that is in none of the three tables fails a test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from broker.client import Problem, operations
from broker.core.trouble import Trouble
from broker.drill.virtual import VirtualClock
from broker.errors import ConfigError
from broker.events import EVENTS
from broker.sandbox import CloudThread, Fault, api_fault, token_fault
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.waiting import until
from tests.operate.command import run
from tests.services.lab import START, Lab, in_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from broker.sandbox import Cloud


class Stage:
    """One daemon with an account for each event, and the cloud behind it."""

    def __init__(self, cloud: Cloud, daemon: Daemon) -> None:
        self.cloud = cloud
        self.daemon = daemon

    def refresh(self, name: str, fault: Fault) -> None:
        """A refresh that meets this fault."""
        self.cloud.script.add("token", fault, times=1)
        with pytest.raises(Problem):
            self.daemon.client.refresh(name)

    def ask(self, name: str, fault: str) -> None:
        """A call that meets this fault."""
        self.cloud.script.add("call_in", api_fault(fault), times=1)
        with pytest.raises(Problem):
            self.daemon.client.ticket(f"door-{name}")

    def spoil(self, name: str, content: bytes | None) -> None:
        """Between two processes the account's file is damaged; None: there is a directory in its place."""
        self.daemon.stop()
        for file in (self.daemon.directory / "state").glob(f"account-{name}*"):
            size = file.stat().st_size
            file.unlink()
            if content is None:
                file.mkdir()
            else:
                file.write_bytes(content * size)
        self.daemon.start().wait_up()

    def publish(self) -> None:
        """A ticket that is published where everybody may write."""
        self.daemon.client.ticket("door-publish")

    def refuse_reload(self) -> None:
        """The file on disk gets a mistake."""
        right = self.daemon.config.read_text()
        self.daemon.config.write_text(right + "\n[nonsense]\n")
        with pytest.raises(Problem):
            self.daemon.client.reload()
        self.daemon.config.write_text(right)

    def problem(self, subject: str, code: str) -> dict[str, Any] | None:
        """Its row in the status."""
        rows = self.daemon.client.status()["problems"]
        return next((row for row in rows if (row["subject"], row["code"]) == (subject, code)), None)


@dataclass(frozen=True)
class Place:
    """How the event comes about on a stage, and the row of the status that says so."""

    cause: Callable[[Stage], None]
    subject: str
    code: str


IN_STATUS = {
    "hook.failed": Place(lambda _: None, "hook", "config_error"),
    "publish.failed": Place(Stage.publish, "published file of door-publish", "state_unavailable"),
    "config.reload_failed": Place(Stage.refuse_reload, "configuration", "config_error"),
    "login.ending": Place(lambda _: None, "account ending", "login_required"),
    "id_token.refresh_failed": Place(lambda stage: stage.refresh("failing", token_fault("90081")),
                                     "account failing", "config_error"),
    "id_token.refresh_ambiguous": Place(lambda stage: stage.refresh("ambiguous", Fault(reset="after_commit")),
                                        "account ambiguous", "upstream_unavailable"),
    "login.required": Place(lambda stage: stage.refresh("ended", token_fault("90129")),
                            "account ended", "login_required"),
    "ticket.issue_failed": Place(lambda stage: stage.ask("offline", "not_found"),
                                 "ticket door-offline", "gateway_offline"),
    "ticket.unavailable": Place(lambda stage: stage.ask("busy", "busy"), "ticket door-busy", "upstream_unavailable"),
    "quota.exhausted": Place(lambda stage: stage.ask("quota", "quota"), "ticket door-quota", "quota_exhausted"),
    "problem.found": Place(lambda stage: stage.ask("keyless", "invalid_subscription_key"),
                           "account keyless", "config_error"),
    "store.damaged": Place(lambda stage: stage.spoil("damaged", b"\0"), "account damaged", "login_required"),
    "store.unavailable": Place(lambda stage: stage.spoil("unreadable", None),
                               "account unreadable", "state_unavailable"),
}  # fmt: skip
IN_LAB = {
    "config.degraded": ("configuration", "config_error"),
    "clock.unsynchronized": ("clock", "clock_unsynchronized"),
    "defect.found": ("broker", "internal_error"),
    "request.failed": ("broker", "internal_error"),
}
NOBODY = {
    "service.crashed": "systemd starts it again, which is news for the hook (service.started); until then every "
    "command says that there is no daemon, with exit code 3",
    "config.warned": "the configuration works; `config check` and `doctor` say the same before it is in force",
    "store.slot_repaired": "one of two copies was damaged, the other served, and both are well again",
    "login.failed": "whoever logs in is told by the command and in the browser; the present login is untouched",
    "login.dropped": "a logout or a newer login came first, and is what somebody wanted",
    "login.restored": "it goes on; where the cloud does not, login.required gives the backup as the reason",
    "quota.reserve_reached": "prefetching stops by itself; status has the count, `why` the plan",
    "problem.standing": "tells again what has been in the status all the while",
    "clock.stepped": "time within a boot is not taken from that clock, so nothing is to be done",
    "clock.skewed": "renewal goes by the cloud's time; status shows the skew, an alert rule watches it",
    "request.refused": "whoever asked was told, with the rule that is missing",
    "request.limited": "whoever asked too often was told; the others have their turns",
    "library.warned": "what it means for us is our own failure, told as such",
    "library.failed": "what it means for us is our own failure, told as such",
}


def configuration(cloud: Cloud, directory: Path) -> str:
    names = [place.subject.removeprefix("account ") for place in IN_STATUS.values() if "account" in place.subject]
    names += [place.subject.removeprefix("ticket door-") for place in IN_STATUS.values() if "ticket" in place.subject]
    names.append("publish")
    open_to_all = directory / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    file = f'publish = {{ path = "{open_to_all}/ticket" }}'
    doors = [
        account(cloud, directory, name)
        + ticket(f"door-{name}", of=name, more=f'warm = "on-demand"\n{file if name == "publish" else ""}')
        for name in names
    ]
    ends = '[accounts.ending.oauth]\nsliding_window = "40h"\n'
    return "".join(doors) + ends + '[hooks]\ncommand = ["/bin/sh", "-c", "exit 3"]\n'


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("told")
    with CloudThread() as cloud, Daemon(directory, configuration(cloud, directory)) as daemon:
        for row in daemon.client.accounts():
            daemon.login(cloud, row["name"])
        yield Stage(cloud, daemon)


@pytest.mark.slow
@pytest.mark.parametrize("event", IN_STATUS)
def test_what_a_person_must_know_is_in_the_status_while_it_is_so(stage: Stage, event: str) -> None:
    place = IN_STATUS[event]
    place.cause(stage)
    said = f'"event":"{event}"'
    until(lambda: said in stage.daemon.log().replace(": ", ":"), seconds=60, what=lambda: f"{event} is not said")
    until(
        lambda: stage.problem(place.subject, place.code) is not None,
        seconds=60,
        what=lambda: str(stage.daemon.client.status()["problems"]),
    )
    problem = stage.problem(place.subject, place.code)
    assert problem is not None
    shown = run("status", socket=stage.daemon.socket_path).stdout
    assert problem["detail"] in shown
    assert problem["remedy"] == "retry" or problem["hint"] in shown, "what only a person can mend has a hint"
    if problem["remedy"] != "retry" and event != "login.ending":
        ready = json.loads(stage.daemon.client.exchange(operations.read("/readyz")).take())
        assert place.subject in {row["subject"] for row in ready["attention"]}


@pytest.mark.parametrize("event", IN_LAB)
def test_what_is_wrong_with_configuration_clock_or_program_is_in_the_status(event: str) -> None:
    async def scenario(lab: Lab) -> None:
        match event:
            case "config.degraded":
                lab.desk.degraded = ConfigError("broker.toml: 2 problems", hint="eliot-broker config check")
                rows = lab.desk.readiness()[1]["attention"]
            case _:
                lab.counters.hear(event, {})
                rows = lab.status()["problems"]
        subject, code = IN_LAB[event]
        found = [row for row in rows if (row["subject"], row["code"]) == (subject, code)]
        assert len(found) == 1
        assert found[0]["hint"]

    clock = VirtualClock(START)
    if event == "clock.unsynchronized":
        clock.wall_seconds = 0.0
    in_lab(scenario, clock=clock, login=event != "clock.unsynchronized")


def test_trouble_outside_accounts_is_told_with_its_age_and_its_number() -> None:
    async def scenario(lab: Lab) -> None:
        lab.desk.troubles = lambda: [Trouble("hook", ConfigError("it exits with 3", hint="look"), 17, 4)]
        lab.desk.stood_for = lambda subject, _: 60.0 if subject == "account home" else None
        hook, login = sorted(lab.status()["problems"], key=lambda row: row["subject"] != "hook")[:2]
        assert (hook["since"], hook["count"], hook["detail"]) == (17, 4, "it exits with 3")
        assert login["since"] == int(lab.timekeeper.wall_seconds() - 60)

    in_lab(scenario, login=False)


def test_every_loud_event_has_its_place_or_a_reason_why_it_needs_nobody() -> None:
    loud = {name for name, event in EVENTS.items() if event.level in {"warning", "error"}}
    placed = [*IN_STATUS, *IN_LAB, *NOBODY]
    assert sorted(placed) == sorted(loud)
