"""The daemon's process: the loop it runs in, and what becomes of an error that nobody caught.

Knows the App only to run it. The one invariant: a defect is told with a traceback that holds no secret, and ends in
exit code 1; an expected failure is the caller's to tell.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from broker.adapters.clock import SystemClock
from broker.adapters.log import StandardLog
from broker.adapters.process import CrashReports, shut_in, spare_memory
from broker.adapters.redaction import crash_report
from broker.app import App
from broker.errors import BrokerError
from broker.fanout import Fanout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.assembly import Parts

CRASHED = 1


def serve(config_path: Path | None, parts: Parts | None = None) -> int:
    """Run the daemon until it is told to stop; the exit code. Raises: BrokerError where it refuses to start."""
    shut_in()
    spare_memory()
    log = StandardLog("info", "auto", sys.stderr, SystemClock())
    events = Fanout(log, SystemClock())
    foreign, reports = log.adopt_foreign(), CrashReports(partial(_tell_defect, events))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(App(config_path, os.environ, parts, events), reports))
    except BrokerError:
        raise
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # the last place at which a defect can be told
        refusal = _refusal(error) if isinstance(error, BaseExceptionGroup) else None
        if refusal is not None:
            raise refusal from None
        log.emit("service.crashed", detail=type(error).__name__, traceback=crash_report(error))
        return CRASHED
    finally:
        reports.give_back()
        foreign.give_back()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where the extra is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(app: App, reports: CrashReports) -> int:
    asyncio.get_running_loop().set_exception_handler(reports.in_loop)
    return await app.run()


def _tell_defect(events: Fanout, where: str, error: BaseException | None) -> None:
    """A defect that ends nothing by itself: in a thread, a callback, a task that nobody waits for."""
    detail, trace = (None, None) if error is None else (type(error).__name__, crash_report(error))
    events.emit("defect.found", where=where, detail=detail, traceback=trace)


def _refusal(group: BaseExceptionGroup[BaseException]) -> BrokerError | None:
    """The expected failure that ended the daemon; None where a bug did."""
    only = group.exceptions[0]
    if len(group.exceptions) > 1:
        return None
    if isinstance(only, BaseExceptionGroup):
        return _refusal(only)
    return only if isinstance(only, BrokerError) else None
