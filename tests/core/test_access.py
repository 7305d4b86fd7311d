"""Every cell of (peer, rule) and of (peer, action): who may do what."""

from __future__ import annotations

import pytest

from broker.core.access import AccessPolicy, Action, Peer, matches

OWN = Peer(uid=990, gid=990, pid=1)
ROOT = Peer(uid=0, gid=0, pid=2, user="root", group_names=frozenset({"root"}))
ALICE = Peer(
    uid=1000,
    gid=1000,
    pid=3,
    groups=frozenset({27, 44}),
    user="alice",
    group_names=frozenset({"alice", "doorbell"}),
    unit="sip-gateway.service",
)
NOBODY_KNOWS = Peer(uid=1001, gid=1001, pid=None)

RULES: list[tuple[str, Peer, bool]] = [
    ("user:alice", ALICE, True),
    ("user:alic", ALICE, False),
    ("user:", ALICE, False),
    ("user:root", ALICE, False),
    ("user:None", NOBODY_KNOWS, False),
    ("user:", NOBODY_KNOWS, False),
    ("user:1000", ALICE, False),
    ("uid:1000", ALICE, True),
    ("uid:01000", ALICE, False),
    ("uid:100", ALICE, False),
    ("uid:", ALICE, False),
    ("uid:alice", ALICE, False),
    ("group:doorbell", ALICE, True),
    ("group:alice", ALICE, True),
    ("group:", ALICE, False),
    ("group:doorbell", NOBODY_KNOWS, False),
    ("gid:1000", ALICE, True),
    ("gid:44", ALICE, True),
    ("gid:4", ALICE, False),
    ("gid:²", ALICE, False),
    ("gid:٤٤", ALICE, False),
    ("gid:", ALICE, False),
    ("unit:sip-gateway.service", ALICE, True),
    ("unit:sip-gateway", ALICE, False),
    ("unit:sip-gateway.service", NOBODY_KNOWS, False),
    ("unit:", NOBODY_KNOWS, False),
    ("unit:None", NOBODY_KNOWS, False),
    ("alice", ALICE, False),
    ("", ALICE, False),
    ("User:alice", ALICE, False),
    ("user:alice ", ALICE, False),
]

POLICY = AccessPolicy(
    own_uid=990,
    admins=("user:root",),
    tickets={"open": None, "closed": (), "door": ("group:doorbell", "uid:1234")},
    id_tokens={"home": ("user:alice",)},
)

ACTIONS: list[tuple[Action, str, Peer, bool]] = [
    (Action.LOOK, "", OWN, True),
    (Action.LOOK, "", ROOT, True),
    (Action.LOOK, "", ALICE, True),
    (Action.LOOK, "", NOBODY_KNOWS, True),
    (Action.VEND, "open", OWN, True),
    (Action.VEND, "open", ROOT, True),
    (Action.VEND, "open", ALICE, True),
    (Action.VEND, "open", NOBODY_KNOWS, True),
    (Action.VEND, "closed", OWN, True),
    (Action.VEND, "closed", ROOT, False),
    (Action.VEND, "closed", ALICE, False),
    (Action.VEND, "closed", NOBODY_KNOWS, False),
    (Action.VEND, "door", OWN, True),
    (Action.VEND, "door", ROOT, False),
    (Action.VEND, "door", ALICE, True),
    (Action.VEND, "door", NOBODY_KNOWS, False),
    (Action.VEND, "unheard-of", ROOT, False),
    (Action.VEND, "unheard-of", ALICE, False),
    (Action.READ_ID_TOKEN, "home", OWN, True),
    (Action.READ_ID_TOKEN, "home", ROOT, True),
    (Action.READ_ID_TOKEN, "home", ALICE, True),
    (Action.READ_ID_TOKEN, "home", NOBODY_KNOWS, False),
    (Action.READ_ID_TOKEN, "other", ROOT, True),
    (Action.READ_ID_TOKEN, "other", ALICE, False),
    (Action.ADMINISTER, "home", OWN, True),
    (Action.ADMINISTER, "home", ROOT, True),
    (Action.ADMINISTER, "home", ALICE, False),
    (Action.ADMINISTER, "home", NOBODY_KNOWS, False),
]


@pytest.mark.parametrize(("rule", "peer", "expected"), RULES)
def test_a_rule_names_a_peer_or_not(rule: str, peer: Peer, expected: bool) -> None:
    assert matches(rule, peer) is expected


@pytest.mark.parametrize(("action", "name", "peer", "expected"), ACTIONS)
def test_a_peer_may_do_an_action_or_not(action: Action, name: str, peer: Peer, expected: bool) -> None:
    assert POLICY.allows(action, name, peer) is expected


@pytest.mark.parametrize(
    ("rules", "names", "groups", "unit"),
    [
        ((), False, False, False),
        (("uid:1",), False, False, False),
        (("gid:1",), False, True, False),
        (("user:a",), True, False, False),
        (("group:a",), True, True, False),
        (("unit:a.service",), False, False, True),
    ],
)
def test_a_policy_says_what_must_be_looked_up(rules: tuple[str, ...], names: bool, groups: bool, unit: bool) -> None:
    everywhere = [
        AccessPolicy(own_uid=1, admins=rules),
        AccessPolicy(own_uid=1, tickets={"a": None, "b": rules}),
        AccessPolicy(own_uid=1, id_tokens={"a": rules}),
    ]
    for policy in everywhere:
        assert (policy.needs_names, policy.needs_groups, policy.needs_unit) == (names, groups, unit)
