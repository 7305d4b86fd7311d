"""What systemd tells us through the environment, and what we tell it through its notification socket.

sd_notify(3) and sd_listen_fds(3) in a few lines. Without systemd everything here does nothing. The one invariant:
what was read is taken out of the environment, so that no child of ours speaks or listens in our name.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

FIRST_DESCRIPTOR = 3
SOCKET_NAMES = ("eliot-broker", "broker.socket", "eliot-broker.socket")


class ServiceManager:
    """The one who started us; `present` says whether there is one that listens."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        mine = pid in {"", str(os.getpid())}
        self._watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdigit() and mine else None

    @property
    def present(self) -> bool:
        """Whether somebody wants to be told."""
        return bool(self._address)

    @property
    def watchdog_seconds(self) -> float | None:
        """Within how many seconds `watchdog` must be called again and again; None: no watchdog."""
        return self._watchdog_seconds

    def ready(self, status: str = "") -> None:
        """Started, or reloaded."""
        self._tell("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell(*_status(text))

    def watchdog(self) -> None:
        """Still alive."""
        if self._watchdog_seconds is not None:
            self._tell("WATCHDOG=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it (Type=notify-reload wants the moment, on CLOCK_MONOTONIC)."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """The stop begins."""
        self._tell("STOPPING=1", *_status(status))

    def extend_timeout(self, seconds: float) -> None:
        """Starting, reloading or stopping takes so much longer from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _tell(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(0.5)
            # A manager that is gone or does not read must not stop us; its watchdog then ends us.
            with suppress(OSError):
                channel.sendto("\n".join(lines).encode(), address)


def adopt_sockets(environment: MutableMapping[str, str] = os.environ, names: Sequence[str] = SOCKET_NAMES) -> list[int]:
    """The descriptors of socket activation that carry one of `names` (all, where none carries a name).

    Others that came along are closed. Empty where we were not activated by a socket.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    labels = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    adopted = []
    for index in range(int(count)):
        descriptor = FIRST_DESCRIPTOR + index
        os.set_inheritable(descriptor, False)
        label = labels[index] if index < len(labels) else ""
        if label in names or label in {"", "unknown"}:
            adopted.append(descriptor)
        else:
            os.close(descriptor)
    return adopted


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()
