"""Peer identity over real connections: ids, groups, names and units, and no answer rather than a wrong one."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from broker.api.names import Names
from broker.api.peer import Identity, credentials, supplementary_groups
from broker.api.unit import UnitFinder, unit_of_cgroup
from broker.core.access import AccessPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

BY_ID = AccessPolicy(own_uid=1, tickets={"a": ("uid:5",)})
BY_NAME = AccessPolicy(own_uid=1, tickets={"a": ("user:root",)})
BY_UNIT = AccessPolicy(own_uid=1, tickets={"a": ("unit:a.service",)})


@pytest.fixture
def pair() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def test_ids_are_the_kernels_word(pair: socket.socket) -> None:
    assert credentials(pair) == (os.getuid(), os.getgid(), os.getpid())


def test_supplementary_groups_are_those_of_the_peer(pair: socket.socket) -> None:
    assert supplementary_groups(pair) == frozenset(os.getgroups())


def test_the_groups_of_a_peer_in_very_many_are_known_too() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to be in groups that nobody has")
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")
        listening.listen()
        code = f"import socket; c = socket.socket(socket.AF_UNIX); c.connect({listening.getsockname()!r}); c.recv(1)"
        wanted = list(range(70_000, 71_000))
        with subprocess.Popen(["/usr/bin/python3", "-c", code], extra_groups=wanted, cwd="/") as client:
            connection, _ = listening.accept()
            assert supplementary_groups(connection) == frozenset(wanted)
            connection.close()
            client.wait(timeout=10)


def test_only_what_a_rule_needs_is_looked_up(pair: socket.socket) -> None:
    identity = Identity(pair, Names(lambda: 0.0))
    peer = identity.known(BY_ID)
    assert peer is not None
    assert (peer.uid, peer.user, peer.groups, peer.unit) == (os.getuid(), None, frozenset(), None)
    assert identity.known(BY_NAME) is None
    assert identity.known(BY_UNIT) is None


async def test_names_are_looked_up_when_a_rule_needs_them_and_then_known(pair: socket.socket) -> None:
    identity = Identity(pair, Names(lambda: 0.0))
    peer = await identity.resolve(BY_NAME)
    assert (peer.user is None) == (os.getuid() != 0)
    assert identity.known(BY_NAME) is peer


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/sip-gateway.service", "sip-gateway.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/system.slice/sip-gateway.service/payload/other.service", "sip-gateway.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/fake.service", "user@1000.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/init.scope", "init.scope"),
        ("/system.slice/gone.service (deleted)", None),
        ("/lxc/guest/system.slice/sip-gateway.service", None),
        ("/../../system.slice/sip-gateway.service", None),
        ("/system.slice", None),
        ("/", None),
        ("", None),
        (None, None),
    ],
)
def test_the_unit_is_the_first_component_that_is_no_slice(path: str | None, unit: str | None) -> None:
    assert unit_of_cgroup(path) == unit


@pytest.fixture
def dead() -> Iterator[int]:
    """A pidfd of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    pidfd = os.pidfd_open(child.pid)
    child.wait()
    yield pidfd
    os.close(pidfd)


@pytest.fixture
def living() -> Iterator[int]:
    pidfd = os.pidfd_open(os.getpid())
    yield pidfd
    os.close(pidfd)


class Machine:
    """A /proc with one process, number 7, and a control group tree, as files."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        (self.proc / "7").mkdir(parents=True)
        self.write("cgroup", "0::/system.slice/a.service\n")
        self.write("stat", "7 (a) b) S " + " ".join(str(n) for n in range(4, 53)))
        self.write("status", "Name:\ta\nUid:\t0\t1000\t0\t0\n")
        for unit in ("a.service", "b.service"):
            (self.cgroups / "system.slice" / unit).mkdir(parents=True)
        (self.cgroups / "cgroup.controllers").write_text("")

    def write(self, name: str, text: str) -> None:
        (self.proc / "7" / name).write_text(text)

    def finder(self, unit: str | None = None) -> UnitFinder:
        """One whose kernel says that the process is in `unit`; None: a kernel that does not tell."""
        inode = None if unit is None else (self.cgroups / "system.slice" / unit).stat().st_ino
        return UnitFinder(self.proc, self.cgroups, lambda _: inode)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_unit_is_read_of_a_living_process(machine: Machine, living: int) -> None:
    assert machine.finder().by_pidfd(living, 7) == "a.service"
    assert machine.finder().by_start_time(7, 1000) == "a.service"


def test_a_process_that_is_gone_has_no_unit_whoever_has_its_number_now(machine: Machine, dead: int) -> None:
    assert machine.finder().by_pidfd(dead, 7) is None


def test_the_kernels_own_word_beats_the_number(machine: Machine, living: int) -> None:
    assert machine.finder("a.service").by_pidfd(living, 7) == "a.service"
    assert machine.finder("b.service").by_pidfd(living, 7) == "b.service"
    assert machine.finder("b.service").by_pidfd(living, None) == "b.service"


def test_a_hidden_proc_does_not_hide_the_unit_from_a_new_kernel(machine: Machine, living: int) -> None:
    assert machine.finder("a.service").by_pidfd(living, 8) == "a.service"
    assert machine.finder().by_pidfd(living, 8) is None
    assert machine.finder().by_start_time(8, 1000) is None


def test_ids_of_version_2_are_not_looked_for_among_other_hierarchies(machine: Machine, living: int) -> None:
    finder = machine.finder("b.service")
    (machine.cgroups / "cgroup.controllers").unlink()
    assert finder.by_pidfd(living, 7) == "a.service"


def test_on_version_1_systemds_own_hierarchy_tells(machine: Machine, living: int) -> None:
    machine.write("cgroup", "9:name=systemd:/system.slice/c.service\n4:memory:/x.service\n0::/\n")
    assert machine.finder().by_pidfd(living, 7) == "c.service"
    machine.write("cgroup", "4:memory:/x.service\n0::/\n")
    assert machine.finder().by_pidfd(living, 7) is None


def test_a_process_that_began_after_the_peer_was_seen_is_not_the_peer(machine: Machine) -> None:
    began = (4 + 18) / os.sysconf("SC_CLK_TCK")  # what stands in the machine's stat
    assert machine.finder().by_start_time(7, 1000, began) == "a.service"
    assert machine.finder().by_start_time(7, 1000, began - 0.01) is None


class Gone:
    """A connection whose peer was reaped, as kernels before 6.16 tell it; `number` is what getsockopt fails with."""

    def __init__(self, number: int) -> None:
        self.number = number

    def getsockopt(self, *_: int) -> int:
        raise OSError(self.number, "no")


@pytest.mark.parametrize(
    ("number", "unit"), [(errno.ESRCH, None), (errno.EINVAL, None), (errno.ENOPROTOOPT, "a.service")]
)
def test_a_peer_that_is_gone_is_not_looked_for_by_its_number(machine: Machine, number: int, unit: str | None) -> None:
    assert machine.finder().of_peer(cast("socket.socket", Gone(number)), 7, 1000) == unit


@pytest.mark.parametrize("uid", [0, 1001])
def test_another_uid_than_the_peers_means_no_unit(machine: Machine, uid: int) -> None:
    assert machine.finder().by_start_time(7, uid) is None


@pytest.mark.parametrize(
    ("name", "text"), [("stat", "7 (a) S 1"), ("status", "Uid:\tx"), ("status", ""), ("cgroup", "")]
)
def test_what_cannot_be_read_means_no_unit(machine: Machine, name: str, text: str) -> None:
    machine.write(name, text)
    assert machine.finder().by_start_time(7, 1000) is None


def test_every_way_to_ask_this_machine_gives_the_same_answer(pair: socket.socket, living: int) -> None:
    finder = UnitFinder()
    expected = finder.by_start_time(os.getpid(), os.geteuid())
    assert finder.by_pidfd(living, os.getpid()) == expected
    assert finder.of_peer(pair, os.getpid(), os.getuid()) == expected


def test_asking_for_a_unit_leaks_no_descriptor(pair: socket.socket) -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(50):
        UnitFinder().of_peer(pair, os.getpid(), os.getuid())
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
