"""Peers of the broker that are not what they seem: `peers.py KIND [ARGUMENT]`, run as a unit of its own in the lab.

Standard library only. Each prints the status line that it got, or `nothing`.
fork        connects, forks, ends; the child asks.
lend PATH   connects, and hands its connection to whoever asks at PATH.
borrow PATH takes a connection from PATH and asks on it.
borrow-late PATH  the same, once the one who connected is gone.
die PATH    connects, hands its connection to whoever asks at PATH, and is gone before anything is asked.
reuse UNIT  asks on a connection of a dead process, whose number a process of UNIT has now (root).
"""

from __future__ import annotations

import array
import ctypes
import os
import signal
import socket
import struct
import sys
import time

BROKER = "/run/eliot-broker/broker.sock"
ASK = b"GET /v1/tickets/front-door HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PATIENCE_SECONDS = 60.0
CLONE3 = 435  # the system call, of every architecture


def connection() -> socket.socket:
    """A connection to the broker."""
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(PATIENCE_SECONDS)
    channel.connect(BROKER)
    return channel


def ask(channel: socket.socket) -> None:
    """Ask for the ticket, and tell what came."""
    channel.settimeout(PATIENCE_SECONDS)
    channel.sendall(ASK)
    print(channel.recv(4096).partition(b"\r\n")[0].decode() or "nothing", flush=True)


def meeting_place(path: str) -> socket.socket:
    """Listen at a path that anybody may use."""
    place = socket.socket(socket.AF_UNIX)
    place.settimeout(PATIENCE_SECONDS)
    place.bind(path)
    os.chmod(path, 0o666)  # noqa: PTH101
    place.listen()
    return place


def send(channel: socket.socket, to: socket.socket) -> None:
    """Pass a connection on (SCM_RIGHTS, unix(7))."""
    to.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [channel.fileno()]))])


def take(path: str) -> tuple[socket.socket, socket.socket]:
    """The connection that somebody passes on at a path, and the way to him."""
    giver = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + PATIENCE_SECONDS
    while giver.connect_ex(path):
        assert time.monotonic() < end, path
        os.sched_yield()
    _, control, _, _ = giver.recvmsg(1, socket.CMSG_LEN(4))
    return socket.socket(fileno=array.array("i", control[0][2][:4])[0]), giver


def fork_as(number: int) -> int:
    """fork() into this very process number (clone3(2) with set_tid; root)."""
    wanted = ctypes.c_int32(number)
    arguments = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
    child = ctypes.CDLL(None, use_errno=True).syscall(CLONE3, arguments, len(arguments))
    if child < 0:
        raise OSError(ctypes.get_errno(), "clone3")
    return int(child)


def reuse(unit: str) -> None:
    """Ask on a connection whose opener is dead, and whose number a process of `unit` has now."""
    mine, theirs = socket.socketpair()
    opener = os.fork()
    if opener == 0:
        send(connection(), theirs)
        os._exit(0)
    _, control, _, _ = mine.recvmsg(1, socket.CMSG_LEN(4))
    channel = socket.socket(fileno=array.array("i", control[0][2][:4])[0])
    os.waitpid(opener, 0)
    again = fork_as(opener)
    if again == 0:
        signal.pause()
        os._exit(0)
    with open(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs", "w") as group:  # noqa: PTH123
        group.write(str(again))
    with open(f"/proc/{opener}/cgroup") as group:  # noqa: PTH123
        assert unit in group.read()
    ask(channel)
    os.kill(again, signal.SIGKILL)


def main(kind: str, path: str = "") -> None:
    match kind:
        case "fork":
            channel = connection()
            if os.fork():
                os.waitpid(-1, 0)
            else:
                ask(channel)
        case "lend":
            with meeting_place(path) as place:
                channel, (taker, _) = connection(), place.accept()
                send(channel, taker)
                taker.settimeout(PATIENCE_SECONDS)
                taker.recv(1)  # stays alive until it was used
        case "die":
            with meeting_place(path) as place:
                channel, (taker, _) = connection(), place.accept()
                send(channel, taker)
        case "reuse":
            reuse(path)
        case "borrow":
            channel, _giver = take(path)
            ask(channel)
        case "borrow-late":
            channel, giver = take(path)
            giver.settimeout(PATIENCE_SECONDS)
            giver.recv(1)  # its end: the one who connected is gone
            ask(channel)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
