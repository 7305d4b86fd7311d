"""Names by ids: remembered for a minute, and a name service that hangs costs nobody else anything."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from broker.api.names import THREADS, Names, ask_system
from broker.api.peer import Identity
from broker.core.access import AccessPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.api.names import Key


class NameService:
    """An NSS by hand; `hung` are the ids that are answered only when `released`."""

    def __init__(self) -> None:
        self.asked: list[Key] = []
        self.name = "alice"
        self.hung: set[int] = set()
        self.released = threading.Event()

    def __call__(self, key: Key) -> str | None:
        self.asked.append(key)
        if key[1] in self.hung:
            self.released.wait(10)
        return None if key[1] == 404 else f"{self.name}-{key[1]}"


@pytest.fixture
def service() -> Iterator[NameService]:
    service = NameService()
    yield service
    service.released.set()


async def test_names_are_asked_for_once_a_minute(service: NameService) -> None:
    now = 0.0
    names = Names(lambda: now, service)
    for _ in range(3):
        assert await names.of(1, frozenset({2, 3})) == ("alice-1", frozenset({"alice-2", "alice-3"}))
    assert len(service.asked) == 3
    now, service.name = 61.0, "bob"
    assert await names.of(1, frozenset({2})) == ("bob-1", frozenset({"bob-2"}))
    names.close()


async def test_an_id_without_a_name_has_none_and_is_not_asked_for_each_time(service: NameService) -> None:
    names = Names(lambda: 0.0, service)
    for _ in range(3):
        assert await names.of(404, frozenset({404})) == (None, frozenset())
    assert len(service.asked) == 2
    names.close()


async def test_many_who_ask_at_once_are_one_question(service: NameService) -> None:
    names = Names(lambda: 0.0, service)
    answers = await asyncio.gather(*(names.of(1, frozenset()) for _ in range(50)))
    assert set(answers) == {("alice-1", frozenset())}
    assert len(service.asked) == 1
    names.close()


async def test_a_name_service_that_hangs_is_waited_for_so_long_and_what_is_known_stays_known(
    service: NameService,
) -> None:
    names = Names(lambda: 0.0, service, look_up_seconds=0.05)
    assert await names.of(1, frozenset()) == ("alice-1", frozenset())
    service.hung = set(range(100, 200))
    for uid in range(100, 100 + THREADS + 3):
        assert await names.of(uid, frozenset()) is None
    assert await names.of(1, frozenset()) == ("alice-1", frozenset())
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)  # everybody else's threads are free
    service.released.set()
    while await names.of(100, frozenset()) is None:
        pass
    names.close()


async def test_a_peer_whose_name_is_not_found_out_in_time_matches_no_name_and_is_asked_about_again(
    service: NameService,
) -> None:
    ours, theirs = socket.socketpair()
    policy = AccessPolicy(own_uid=4_000_000_001, tickets={"door": ("user:alice-0", "gid:0")})
    with ours, theirs:
        names = Names(lambda: 0.0, service, look_up_seconds=0.02)
        identity = Identity(ours, names)
        service.hung = {identity.uid, identity.gid}
        peer = await identity.resolve(policy)
        assert (peer.uid, peer.user, peer.group_names) == (identity.uid, None, frozenset())
        assert identity.known(policy) is None
        service.released.set()
        while (peer := await identity.resolve(policy)).user is None:
            pass
        assert peer.user == f"alice-{identity.uid}"
        assert identity.known(policy) is peer
        names.close()


def test_the_system_knows_root_and_no_name_for_nobodys_id() -> None:
    assert ask_system(("user", 0)) == "root"
    for key in (("user", 3_999_999_999), ("group", 3_999_999_999), ("user", 2**40), ("group", -5)):
        assert ask_system(key) is None
