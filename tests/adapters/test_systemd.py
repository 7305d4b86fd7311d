"""Speaking with the service manager over a real datagram socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from broker.adapters.systemd import ServiceManager, adopt_sockets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_told_arrives_and_the_environment_is_clean(tmp_path: Path, *, abstract: bool) -> None:
    address = f"@eliot-broker-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        service = ServiceManager(environment)
        assert environment == {"A": "b"}
        assert (service.present, service.watchdog_seconds) == (True, 30.0)
        service.ready("2 tickets\nfresh")
        service.status("x")
        service.watchdog()
        service.stopping()
        service.extend_timeout(1.5)
        told = [manager.recv(1000).decode() for _ in range(5)]
        assert told == [
            "READY=1\nSTATUS=2 tickets fresh", "STATUS=x", "WATCHDOG=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC=1500000",
        ]  # fmt: skip
        service.reloading()
        first, second = manager.recv(1000).decode().split("\n")
        assert first == "RELOADING=1"
        assert second.removeprefix("MONOTONIC_USEC=").isdigit()


def test_without_systemd_nothing_happens() -> None:
    service = ServiceManager({})
    service.ready("x")
    service.watchdog()
    assert (service.present, service.watchdog_seconds) == (False, None)
    assert adopt_sockets({}) == []


def test_a_manager_that_is_gone_does_not_stop_us(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_a_watchdog_of_another_process_is_not_ours() -> None:
    assert ServiceManager({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert adopt_sockets(environment) == []
    assert environment == {}


ADOPT = """
import os, socket, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from broker.adapters.systemd import adopt_sockets
found = adopt_sockets()
listeners = [socket.socket(fileno=fd) for fd in found]
print(found, [listener.getsockname() for listener in listeners], [os.get_inheritable(fd) for fd in found])
print([name for name in os.environ if name.startswith("LISTEN_")])
try: os.fstat(3)
except OSError: print("other closed")
"""


def test_our_socket_is_taken_by_its_name_and_the_others_are_closed(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "broker.sock"))
        listener.listen()
        descriptor = listener.fileno()
        shell = f'exec 3</dev/null 4<&{descriptor}; exec "$0" -c "$1"'
        environment = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:broker.socket"}
        done = subprocess.run(
            ["/bin/bash", "-c", shell, sys.executable, ADOPT],
            env=environment, pass_fds=[descriptor], capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.stdout == f"[4] ['{tmp_path}/broker.sock'] [False]\n[]\nother closed\n", done.stderr
