"""The machine's clocks: the one home of `time`.

CLOCK_BOOTTIME counts suspend too and no administrator can step it; the boot id says which boot it counts from
(time_namespaces(7) shift it for a whole container, which is no step). libfaketime (seen: Debian's 0.9.10) puts the
faked Unix time into CLOCK_BOOTTIME too, unless FAKETIME_DONT_FAKE_MONOTONIC=1: a test of wall-clock steps sets that.
The one invariant: nothing here is rounded, corrected or remembered.
"""

from __future__ import annotations

import time
from pathlib import Path

from broker.core.instant import Reading

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """ports.Clock. Raises: OSError when made, where the kernel tells no boot id."""

    def __init__(self) -> None:
        self._boot_id = _BOOT_ID.read_text("ascii").strip()  # it cannot change while we live

    def read(self) -> Reading:
        return Reading(
            boot_id=self._boot_id,
            boot_seconds=time.clock_gettime(time.CLOCK_BOOTTIME),
            wall_seconds=time.clock_gettime(time.CLOCK_REALTIME),
        )
