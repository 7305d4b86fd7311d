"""Hooks with real processes, each a line of shell that writes what it was told."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.adapters.hooks import Hooks
from broker.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable


class Told:
    """A hook that appends to a file, and the failures reported."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "told"
        self.failures: list[tuple[str, str]] = []

    def hooks(self, script: str = 'echo "$BROKER_EVENT $BROKER_ACCOUNT$BROKER_TICKET" >> {}', **options: Any) -> Hooks:
        command = ["/bin/sh", "-c", script.replace("{}", str(self.file))]
        environment = {"PATH": os.environ["PATH"], "HOME": "/root", "AWS_SECRET": "x"}
        return Hooks(command, lambda *failure: self.failures.append(failure), environment=environment, **options)

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


async def test_events_are_told_in_order_and_one_at_a_time(told: Told) -> None:
    hooks = told.hooks('echo "begin $BROKER_TICKET" >> {}; sleep 0.05; echo "end $BROKER_TICKET" >> {}')
    for name in "abc":
        hooks.emit("ticket.recovered", ticket=name, generation=1)
    await end(hooks)
    assert told.lines == [f"{word} {name}" for name in "abc" for word in ("begin", "end")]
    assert told.failures == []


async def test_a_later_event_of_the_same_subject_replaces_the_waiting_one(told: Told) -> None:
    hooks = told.hooks('echo "$BROKER_EVENT $BROKER_TICKET $BROKER_GENERATION" >> {}')
    hooks.emit("ticket.recovered", ticket="a", generation=1)
    hooks.emit("ticket.recovered", ticket="b", generation=1)
    hooks.emit("ticket.recovered", ticket="a", generation=2)
    await end(hooks)
    assert told.lines == ["ticket.recovered b 1", "ticket.recovered a 2"]


async def test_the_environment_has_the_facts_and_nothing_that_is_not_its_business(told: Told) -> None:
    hooks = told.hooks("env | cut -d= -f1 | sort | tr '\\n' ' ' > {}; echo >> {}; echo \"$BROKER_DETAIL\" >> {}")
    hooks.emit("login.required", account="home", code=None, detail=Secret("hunter2"))
    await end(hooks)
    assert set(told.lines[0].split()) - {"_", "SHLVL", "OLDPWD"} == {
        "BROKER_ACCOUNT", "BROKER_DETAIL", "BROKER_EVENT", "BROKER_TEXT", "HOME", "PATH", "PWD",
    }  # fmt: skip
    assert told.lines[1] == repr(Secret("hunter2"))


async def test_an_event_that_hooks_are_not_told_of_runs_nothing(told: Told) -> None:
    hooks = told.hooks()
    hooks.emit("ticket.served", ticket="a")
    await end(hooks)
    assert told.lines == []


async def test_a_fact_outside_the_vocabulary_is_a_bug(told: Told) -> None:
    with pytest.raises(ValueError, match=r"login\.required has no fact refresh_token"):
        told.hooks().emit("login.required", refresh_token="x")


@pytest.mark.parametrize(
    ("script", "detail"),
    [("exit 3", "/bin/sh exited with 3"), ("kill -TERM $$", "/bin/sh was killed by SIGTERM")],
)
async def test_a_failing_hook_is_reported(told: Told, script: str, detail: str) -> None:
    hooks = told.hooks(script)
    hooks.emit("login.required", account="home")
    await end(hooks)
    assert told.failures == [("login.required", detail)]


async def test_a_command_that_is_not_there_is_reported(told: Told) -> None:
    hooks = Hooks(["/nonexistent"], lambda *failure: told.failures.append(failure))
    hooks.emit("login.required", account="home")
    await end(hooks)
    told_of = "/nonexistent could not be started: no such file or directory (ENOENT)"
    assert told.failures == [("login.required", told_of)]


async def test_a_hook_that_hangs_is_killed_with_all_its_children(told: Told) -> None:
    hooks = told.hooks("sleep 60 & echo $! > {}; wait", limit_seconds=0.2)
    hooks.emit("login.required", account="home")
    await end(hooks)
    assert told.failures == [("login.required", "/bin/sh took longer than 0.2 s and was killed")]
    async with asyncio.timeout(5):  # the kernel kills the group at once, but not in one instant
        await until(lambda: is_gone(told.lines[0]))


async def test_too_many_events_drop_the_oldest_and_say_so(told: Told) -> None:
    hooks = told.hooks(longest_queue=2)
    for name in "abc":
        hooks.emit("ticket.recovered", ticket=name)
    await end(hooks)
    assert told.lines == ["ticket.recovered b", "ticket.recovered c"]
    assert told.failures == [("ticket.recovered", "dropped: 2 events are waiting for the hook")]


async def test_run_tells_what_arrives_and_kills_its_child_when_cancelled(told: Told) -> None:
    hooks = told.hooks("echo $$ >> {}; exec sleep 60")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(hooks.run())
        hooks.emit("login.required", account="home")
        await until(lambda: bool(told.lines))
        task.cancel()
    assert is_gone(told.lines[0])
    assert told.failures == [("login.required", "/bin/sh was killed: the broker had to stop")]


async def test_what_waits_at_a_stop_is_told_and_what_time_does_not_allow_is_reported(told: Told) -> None:
    hooks = told.hooks('echo "$BROKER_TICKET" >> {}; [ "$BROKER_TICKET" != c ] || exec sleep 60')
    for name in "abcd":
        hooks.emit("ticket.recovered", ticket=name)
    hooks.close()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(hooks.run())
        await until(lambda: told.lines == ["a", "b", "c"])
        task.cancel()
    assert told.failures == [
        ("ticket.recovered", "/bin/sh was killed: the broker had to stop"),
        ("ticket.recovered", "not told: the broker had to stop"),
    ]


async def test_a_run_that_ends_well_is_told_too(told: Told) -> None:
    worked: list[bool] = []
    hooks = told.hooks(on_success=lambda: worked.append(True))
    hooks.emit("ticket.recovered", ticket="a")
    await end(hooks)
    assert (worked, told.failures) == ([True], [])


async def test_a_command_that_is_taken_away_meanwhile_is_run_no_more_and_is_nobodys_trouble(told: Told) -> None:
    hooks = told.hooks('echo "$BROKER_TICKET" >> {}; sleep 0.2; exit 3')
    for name in "ab":
        hooks.emit("ticket.recovered", ticket=name)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(hooks.run())
        await until(lambda: told.lines == ["a"])
        hooks.use(())
        hooks.close()
    assert told.lines == ["a"]
    assert told.failures == []


async def test_a_run_of_a_command_that_was_taken_away_may_be_killed_at_a_stop(told: Told) -> None:
    hooks = told.hooks('echo "$BROKER_TICKET" >> {}; exec sleep 60')
    hooks.emit("ticket.recovered", ticket="a")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(hooks.run())
        await until(lambda: told.lines == ["a"])
        hooks.use(())
        task.cancel()
    assert told.failures == [], "who hears of it asks which command it was, and there is none"


async def end(hooks: Hooks) -> None:
    """Until everything was told."""
    hooks.close()
    await hooks.run()


def is_gone(pid: str) -> bool:
    """Gone, or a zombie that its new parent has yet to collect."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


async def until(holds: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    while not holds():
        turn = asyncio.Event()
        loop.call_later(0.01, turn.set)
        await turn.wait()
