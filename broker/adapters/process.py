"""What this process gives away about itself: core dumps, its memory, its environment, its crash reports.

Linux (prctl(2), proc(5)); knows no service. Whoever is root sees everything all the same, and children of ours start
as ordinary processes. The one invariant: a step that the system refuses is no reason not to start.
"""

from __future__ import annotations

import ctypes
import faulthandler
import linecache
import os
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Container

PR_SET_DUMPABLE = 4
M_ARENA_MAX = -8
MADV_DONTNEED = 4
ENVIRON_FIELDS = (47, 48)  # env_start and env_end of /proc/self/stat, counted from 0 behind the name (fields 50, 51)
STANDARD_ERROR = 2


class CrashTold(Protocol):
    """Hears a defect: where it was seen, what was raised (None: only said)."""

    def __call__(self, where: str, error: BaseException | None) -> None: ...


def shut_in() -> None:
    """No core dumps, no tracer of the same user, and /proc/PID/{environ,mem,maps,…} for root alone."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def spare_memory() -> None:
    """One heap for all threads, which hardly ever run at once (mallopt(3)); nothing where libc is not glibc."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return what start, login or reload took for a moment (malloc_trim(3)): a millisecond or two.

    Python's lists of what lies in the folders of modules go, too, and sources that a library made: 0.3 MB.
    """
    sys.path_importer_cache.clear()
    linecache.clearcache()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def let_go_of_text() -> None:
    """Take out of resident memory the program text that start, login and refresh went through: 10 MB, in 3 ms or less.

    madvise(2), MADV_DONTNEED, on what is mapped from files, executable and never written: what is needed again comes
    back from the page cache. The kernel may then have the rest, as Android does it with programs in the background.
    """
    libc = ctypes.CDLL(None)
    with suppress(AttributeError, OSError, ValueError):
        libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for line in Path("/proc/self/maps").read_text("utf-8", "surrogateescape").splitlines():
            place, mode, _, _, inode, *_ = line.split(None, 5)
            if mode == "r-xp" and inode != "0":
                first, end = (int(address, 16) for address in place.split("-"))
                libc.madvise(first, end - first, MADV_DONTNEED)


def erase_initial_environment(still_there: Container[str]) -> int:
    """Overwrite, in the block that /proc/PID/environ shows, the variables that are no longer wanted; how many.

    Taking a variable out of `os.environ` alone leaves its text there for the life of the process. What the parent and
    `systemctl show` know of it is out of our reach.
    """
    start, end = _environment_block()
    erased, at = 0, start
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        name = os.fsdecode(entry.partition(b"=")[0])
        if entry and name not in still_there:
            ctypes.memset(at, 0, len(entry))
            erased += 1
        at += len(entry) + 1
    return erased


def _environment_block() -> tuple[int, int]:
    """Where the kernel put the environment at execve(2); an empty range where it does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text("utf-8", "surrogateescape").rpartition(")")[2].split()
        start, end = (int(fields[number]) for number in ENVIRON_FIELDS)
    except (OSError, ValueError, IndexError):
        return 0, 0
    return (start, end) if 0 < start < end else (0, 0)


class CrashReports:
    """Every way in which Python tells of a defect leads to `tell`; until `give_back`."""

    def __init__(self, tell: CrashTold) -> None:
        self._tell = tell
        self._before = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        sys.excepthook = self._uncaught
        threading.excepthook = self._in_thread
        sys.unraisablehook = self._unraisable
        with suppress(OSError, ValueError):
            faulthandler.enable(STANDARD_ERROR)  # file, line and function of each frame: no value

    def give_back(self) -> None:
        """Leave Python's hooks as they were found."""
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._before

    def in_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler for the event loop; `context` may hold anything, so only its words are told."""
        self._tell(f"event loop: {context.get('message')}", context.get("exception"))

    def _uncaught(self, _kind: type[BaseException], error: BaseException, _trace: object) -> None:
        self._tell("uncaught", error)

    def _in_thread(self, about: threading.ExceptHookArgs) -> None:
        name = "?" if about.thread is None else about.thread.name
        self._tell(f"thread {name}", about.exc_value)

    def _unraisable(self, about: sys.UnraisableHookArgs) -> None:
        self._tell(about.err_msg or "in a destructor or callback", about.exc_value)
