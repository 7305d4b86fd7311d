from __future__ import annotations

import time
from pathlib import Path

import time_machine

from broker.adapters.clock import SystemClock


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def test_it_reads_the_kernel_s_clocks() -> None:
    before = uptime()
    reading = SystemClock().read()
    assert reading.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert before - 0.02 <= reading.boot_seconds <= uptime() + 0.02, "the file has hundredths"


def test_a_step_of_the_wall_clock_does_not_move_the_boot_clock() -> None:
    clock = SystemClock()
    before = clock.read()
    with time_machine.travel(0.0):
        stepped = clock.read()
    assert stepped.wall_seconds < 10 < before.wall_seconds
    assert 0 <= stepped.boot_seconds - before.boot_seconds < 10
    assert time.clock_gettime(time.CLOCK_BOOTTIME) >= stepped.boot_seconds
