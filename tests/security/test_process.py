"""What the process gives away about itself: nothing to another process of the same user, nothing in a crash report."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from broker.adapters.redaction import crash_report, valueless

NOBODY = 65534
CANARY = "Canary-Of-The-Environment-1"
WATCHED = """
import os, resource, subprocess, sys, time
from broker.adapters.process import erase_initial_environment, shut_in
if "open" not in sys.argv:
    shut_in()
    taken = os.environ.pop("CANARY")
    erase_initial_environment(os.environ)
    assert os.environ["KEPT"] == "kept" and os.popen("echo $KEPT").read() == "kept\\n"
print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
sys.stdin.read()
"""
SPY = """
import ctypes, pathlib, sys
pid = int(sys.argv[1])
for name in ("environ", "mem", "maps", "auxv"):
    try:
        pathlib.Path(f"/proc/{pid}/{name}").open("rb").read(1 if name == "mem" else 4096)
        print("read", name)
    except OSError as error:
        print("refused" if error.errno in (1, 13) else "readable", name)
libc = ctypes.CDLL(None, use_errno=True)
print("attached" if libc.ptrace(0x4206, pid, 0, 0) == 0 else "refused", "ptrace")
"""


def ordinary_user() -> dict[str, object]:
    """An identity for a subprocess that is not root's, who may see everything."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def python_for_anybody() -> str:
    """A Python that an ordinary user may run, with this project importable through PYTHONPATH."""
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin:/bin") or ""):
        try:
            tried = subprocess.run([candidate, "-c", ""], check=False, cwd="/", **ordinary_user())  # type: ignore[call-overload]
        except OSError:
            continue
        if tried.returncode == 0:
            return candidate
    pytest.skip("needs a Python that another user may run")


@functools.cache
def importable_for_anybody() -> str:
    """A copy of the package where an ordinary user may read it: a checkout may lie in a private directory."""
    place = Path(tempfile.mkdtemp(prefix="broker-for-anybody-", dir="/tmp"))
    place.chmod(0o755)
    shutil.copytree(Path(__file__).parents[2] / "broker", place / "broker")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return str(place)


def watched(*words: str) -> subprocess.Popen[str]:
    """A process with a canary in its environment, hardened unless `words` has "open"."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": importable_for_anybody(), "CANARY": CANARY, "KEPT": "kept"}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [python_for_anybody(), "-c", WATCHED, *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        **ordinary_user(),
    )


def spied(pid: int) -> set[str]:
    """What a process of the same user can do to this one."""
    spy = subprocess.run(  # type: ignore[call-overload]
        [python_for_anybody(), "-c", SPY, str(pid)],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        **ordinary_user(),
    )
    return set(spy.stdout.splitlines())


def test_a_process_of_the_same_user_reads_neither_environment_nor_memory_and_attaches_no_debugger() -> None:
    with watched() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "(0, 0)\n", "no core dump"
        seen = spied(process.pid)
        process.communicate("", timeout=60)
    assert seen == {"refused environ", "refused mem", "refused maps", "refused auxv", "refused ptrace"}


def test_without_it_they_would() -> None:
    with watched("open") as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = spied(process.pid)
        process.communicate("", timeout=60)
    assert "read environ" in seen, "else the test before proves nothing"


def test_a_variable_that_was_taken_out_is_gone_from_the_block_that_the_kernel_shows() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, who alone may look")
    with watched() as process, watched("open") as other:
        for each in (process, other):
            assert each.stdout is not None
            each.stdout.readline()
        shown, shown_of_other = (Path(f"/proc/{each.pid}/environ").read_bytes() for each in (process, other))
        for each in (process, other):
            each.communicate("", timeout=60)
    assert CANARY.encode() in shown_of_other
    assert CANARY.encode() not in shown
    assert b"KEPT=kept" in shown


def test_it_costs_a_child_nothing() -> None:
    code = (
        "import subprocess, sys; from broker.adapters.process import shut_in; shut_in();"
        "print(subprocess.run([sys.executable, '-c', 'print(open(\"/proc/self/environ\").read() != 1)'],"
        " capture_output=True, text=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


SECRET = "s3cr3t-Canary-9f8e7d"


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301
    except BaseException as caught:  # noqa: BLE001  # given back with its frames
        return caught


@pytest.mark.parametrize(
    "error",
    [
        KeyError(SECRET),
        ValueError(f"invalid literal: {SECRET!r}"),
        ValueError(f'it said "{SECRET} and more'),
        RuntimeError(f"GET https://login.example/?code={SECRET}&state=x"),
        RuntimeError(f"Authorization: Bearer {SECRET}"),
        RuntimeError(f"key {SECRET} refused"),
        UnicodeEncodeError("ascii", SECRET, 0, 1, "ordinal"),
        TypeError({"refresh_token": SECRET}),
        ExceptionGroup("several", [KeyError(SECRET), ExceptionGroup(SECRET, [ValueError(repr(SECRET))])]),
    ],
)
def test_no_message_of_a_crash_brings_a_value_along(error: BaseException) -> None:
    told = crash_report(raised(error))
    assert SECRET not in told
    assert "s3cr3t" not in told
    assert type(error).__name__ in told
    assert "in raised" in told, "where it happened is told"


def test_causes_are_told_as_carefully() -> None:
    def fail() -> None:
        try:
            dict[str, str]()[SECRET]
        except KeyError as cause:
            raise OSError(5, f"cannot send '{SECRET}'") from cause

    try:
        fail()
    except OSError as error:
        told = crash_report(error)
    assert SECRET not in told
    assert "KeyError" in told
    assert "OSError" in told
    assert "Errno 5" in told


def test_an_exception_that_cannot_tell_itself_and_one_that_causes_itself_are_told_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    error = Mute()
    error.__context__ = ValueError()
    error.__context__.__context__ = error
    assert "Mute" in crash_report(error)


@pytest.mark.parametrize("text", ["division by zero", "list index out of range", "[Errno 28] No space left on device"])
def test_what_holds_no_value_stays_readable(text: str) -> None:
    assert valueless(text) == text


CRASHING = """
import asyncio, sys, threading
from broker.adapters.clock import SystemClock
from broker.adapters.log import StandardLog
from broker.adapters.process import CrashReports
from functools import partial
from broker.daemon import _tell_defect
secret = sys.stdin.read().strip()
log = StandardLog("error", "json", sys.stderr, SystemClock())
log.adopt_foreign()
reports = CrashReports(partial(_tell_defect, log))

class Falls:
    def __del__(self):
        raise KeyError(secret)

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(reports.in_loop)
    loop.call_soon(lambda: {}[secret])
    task = loop.create_task(fails())
    await asyncio.wait({task})
    del task
    await asyncio.to_thread(lambda: None)

async def fails():
    raise KeyError(secret)

thread = threading.Thread(target=lambda: {}[secret])
thread.start()
thread.join()
falls = Falls()
del falls
asyncio.run(main())
{}[secret]
"""


def test_no_way_in_which_python_tells_of_a_crash_tells_a_value() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASHING], input=SECRET, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert SECRET not in done.stderr + done.stdout
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert {fact["event"] for fact in told} == {"defect.found"}
    where = " | ".join(fact["where"] for fact in told)
    for place in (
        "thread",
        "event loop: Exception in callback",
        "event loop: Task exception",
        "destructor",
        "uncaught",
    ):
        assert place in where
    assert all("KeyError" in fact["traceback"] for fact in told)
