"""Waiting for another process: the one place of the tests from outside where real time passes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_never = threading.Event()


def pause(seconds: float) -> None:
    """Let another process work."""
    _never.wait(seconds)


def until(
    true: Callable[[], bool], *, seconds: float, what: Callable[[], str] | str = "", every_seconds: float = 0.02
) -> None:
    """Wait until `true()`, asked that often; fail after `seconds` with `what`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        pause(every_seconds)
