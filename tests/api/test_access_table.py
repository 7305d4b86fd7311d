"""The access table, whole: every (peer, rule, route) cell over the socket's own dispatcher, expected by hand.

The columns are the rules under which a peer comes; what each rule opens is written here as in the contract, not
computed from the code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.core.access import AccessPolicy, Action, Peer
from tests.api.fake_backend import STRANGER

if TYPE_CHECKING:
    from broker.api.listener import Listener
    from tests.api.conftest import Broker

OWN = 990
PEERS = {
    "uid": Peer(1000, 1000, 3, user="alice", group_names=frozenset({"alice"})),
    "supplementary group": Peer(
        1001, 1001, 4, groups=frozenset({44}), user="bob", group_names=frozenset({"bob", "doorbell"})
    ),
    "unit": Peer(1002, 1002, 5, user="sip", group_names=frozenset({"sip"}), unit="sip-gateway.service"),
    "root": Peer(0, 0, 6, user="root", group_names=frozenset({"root"})),
    "admin": Peer(1003, 1003, 7, user="carol", group_names=frozenset({"carol"})),
    "the broker's own": Peer(OWN, OWN, 8),
    "nobody": Peer(65534, 65534, 9, user="nobody", group_names=frozenset({"nogroup"})),
    "of no known name or unit": Peer(1004, 1004, None),
}
ADMINS = ("user:root", "user:carol")
RULES: dict[str, tuple[tuple[str, ...] | None, tuple[str, ...]]] = {  # `allow` of the ticket, allow_id_token
    "none": (None, ()),
    "an empty allow": ((), ()),
    "user:": (("user:alice",), ()),
    "uid:": (("uid:1000",), ()),
    "group:": (("group:doorbell",), ()),
    "gid:": (("gid:44",), ()),
    "unit:": (("unit:sip-gateway.service",), ()),
    "allow_id_token": ((), ("user:alice",)),
}
VENDS = {  # besides the broker's own user, who may always
    "none": set(PEERS),
    "an empty allow": set(),
    "user:": {"uid"},
    "uid:": {"uid"},
    "group:": {"supplementary group"},
    "gid:": {"supplementary group"},
    "unit:": {"unit"},
    "allow_id_token": set(),
}
RULERS = {"root", "admin", "the broker's own"}
OPEN = {
    "GET /v1/tickets", "GET /v1/accounts", "GET /v1/accounts/{name}", "GET /v1/status", "GET /healthz", "GET /readyz",
    "GET /metrics", "GET /openapi.json",
}  # fmt: skip
OF_ALLOW = {"GET /v1/tickets/{name}", "GET /v1/tickets/{name}/watch", "POST /v1/tickets/{name}/refresh"}
OF_ID_TOKEN = {"GET /v1/accounts/{name}/id-token"}
OF_ADMINS = {
    "POST /v1/accounts/{name}/login", "POST /v1/accounts/{name}/login/complete", "POST /v1/accounts/{name}/refresh",
    "POST /v1/accounts/{name}/logout", "POST /v1/reload", "POST /v1/tickets/{name}/probe",
    "GET /v1/accounts/{name}/homes",
}  # fmt: skip


def expected(peer: str, rule: str, route: str) -> bool:
    if route in OPEN:
        return True
    if route in OF_ALLOW:
        return peer in VENDS[rule] or peer == "the broker's own"
    if route in OF_ID_TOKEN:
        return peer in RULERS or (rule == "allow_id_token" and peer == "uid")
    assert route in OF_ADMINS
    return peer in RULERS


def routes(listener: Listener) -> dict[str, Action]:
    return {f"{route.method} {route.template}": route.action for route in listener.routes}


NAMES = {  # of the peers, as the README tells them
    "uid": "the user `alice`, uid 1000",
    "supplementary group": "`bob`, in the group `doorbell`, gid 44",
    "unit": "a process of `sip-gateway.service`",
    "root": "root, which is in `admins` by default",
    "admin": "`carol`, whom `admins` names",
    "the broker's own": "the broker's own user",
    "nobody": "any other user",
    "of no known name or unit": "who has no name that the system tells in time, and no unit",
}
COLUMNS = {  # heading: the rule, and a route of the action
    "look": ("an empty allow", "GET /v1/status"),
    "ticket, no `allow`": ("none", "GET /v1/tickets/{name}"),
    "ticket, `[]`": ("an empty allow", "GET /v1/tickets/{name}"),
    "ticket, `user:alice` or `uid:1000`": ("user:", "GET /v1/tickets/{name}"),
    "ticket, `group:doorbell` or `gid:44`": ("group:", "GET /v1/tickets/{name}"),
    "ticket, `unit:sip-gateway.service`": ("unit:", "GET /v1/tickets/{name}"),
    "id token": ("none", "GET /v1/accounts/{name}/id-token"),
    "id token, `allow_id_token` of `alice`": ("allow_id_token", "GET /v1/accounts/{name}/id-token"),
    "administer": ("none", "POST /v1/reload"),
}


def readme_table() -> str:
    """The table of the README's chapter on security."""
    lines = ["| who asks | " + " | ".join(COLUMNS) + " |", "| --- |" + " :-: |" * len(COLUMNS)]
    for peer, told in NAMES.items():
        cells = ("✓" if expected(peer, *column) else " " for column in COLUMNS.values())
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_readme_has_this_table() -> None:
    assert set(NAMES) == set(PEERS)
    assert readme_table() in (Path(__file__).parents[2] / "README.md").read_text(), "\n" + readme_table()


def test_rules_that_share_a_column_of_the_readme_open_the_same() -> None:
    assert (VENDS["user:"], VENDS["group:"]) == (VENDS["uid:"], VENDS["gid:"])


async def test_every_route_is_in_the_table(broker: Broker) -> None:
    assert set(routes(broker.listener)) == OPEN | OF_ALLOW | OF_ID_TOKEN | OF_ADMINS


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("peer", PEERS)
async def test_a_peer_may_do_under_a_rule_what_the_table_says(broker: Broker, peer: str, rule: str) -> None:
    allow, id_tokens = RULES[rule]
    policy = AccessPolicy(own_uid=OWN, admins=ADMINS, tickets={"it": allow}, id_tokens={"it": id_tokens})
    cells = {route: policy.allows(action, "it", PEERS[peer]) for route, action in routes(broker.listener).items()}
    assert cells == {route: expected(peer, rule, route) for route in cells}


@pytest.mark.parametrize("right", ["owner", "admin", "allow", "id token", "nothing"])
async def test_over_the_socket_each_route_asks_for_the_leave_of_its_row(broker: Broker, right: str) -> None:
    """The process that runs this test as the peer: whether the answer is 403 follows the same table."""
    me = (f"uid:{os.getuid()}",)
    broker.backend.policy = AccessPolicy(
        own_uid=os.getuid() if right == "owner" else STRANGER,
        admins=me if right == "admin" else (),
        tickets={"it": me if right == "allow" else ()},
        id_tokens={"it": me if right == "id token" else ()},
    )
    opened = {
        "owner": OPEN | OF_ALLOW | OF_ID_TOKEN | OF_ADMINS,
        "admin": OPEN | OF_ID_TOKEN | OF_ADMINS,
        "allow": OPEN | OF_ALLOW,
        "id token": OPEN | OF_ID_TOKEN,
        "nothing": OPEN,
    }[right]
    for route in routes(broker.listener):
        if route.endswith("/watch") and route in opened:
            continue  # it would go on; that it is allowed is seen by its sister routes
        method, _, path = route.partition(" ")
        request = f"{method} {path.replace('{name}', 'it')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await broker.raw(request.encode())
        assert answer.startswith(b"HTTP/1.1 403 ") == (route not in opened), (route, answer[:60])
