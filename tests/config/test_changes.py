"""What a reload tells, and what of it waits for the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.config.changes import NEXT_START, describe_changes, in_force_after_reload

from .sample import ACCOUNT, API, GOOD, TICKET

if TYPE_CHECKING:
    from .sample import Place

GATE = TICKET.replace("tickets.door", "tickets.gate")
CREDENTIAL = GOOD.replace("file:subscription-key", "credential:state-key")

CHANGES: list[tuple[str, str, list[str]]] = [
    ("", "", []),
    ("", '[socket]\nmode = "0660"\n', []),
    ("", '[socket]\nmode = "0600"\ngroup = "g"\n', [f"socket changed: group, mode; {NEXT_START}"]),
    ("", '[state]\ndirectory = "/s"\n', [f"state changed: directory; {NEXT_START}"]),
    (
        "",
        '[state]\nkey = "credential:state-key"\n',
        [f"state changed: key (credential:state-key); {NEXT_START}"],
    ),
    ("", '[access]\nadmins = ["uid:1"]\n', ["access changed: admins"]),
    ("", '[login]\nlisten = ""\n', ["login changed: listen"]),
    ("", '[hooks]\ncommand = ["/bin/true"]\n', ["hooks changed: command"]),
    ("", '[log]\nlevel = "debug"\n', ["log changed: level"]),
    ("", GATE, ["ticket gate added"]),
    (GATE, "", ["ticket gate removed"]),
    (GATE, GATE + "pool = 2\nallow = []\n", ["ticket gate changed: allow, pool"]),
    (GATE, GATE + 'publish = { path = "/x" }\n', ["ticket gate changed: publish.format, publish.mode, publish.path"]),
    (
        GATE + 'publish = { path = "/x" }\n',
        GATE + 'publish = { path = "/x", mode = "0600" }\n',
        ["ticket gate changed: publish.mode"],
    ),
    ("[accounts.home.oauth]\n", '[accounts.home.oauth]\nleeway = "1m"\n', ["account home changed: oauth.leeway"]),
    (
        (ACCOUNT + API).replace("home", "cabin"),
        "",
        ["account cabin removed; its sealed login stays in the state directory"],
    ),
    ("", (ACCOUNT + API).replace("home", "cabin"), ["account cabin added"]),
]


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES)
def test_each_subject_that_changed_is_one_line(place: Place, before: str, after: str, expected: list[str]) -> None:
    assert describe_changes(place.read(GOOD + before), place.read(GOOD + after)) == expected


def test_a_file_secret_is_compared_by_value_and_told_by_name(place: Place) -> None:
    old = place.read()
    place.write("subscription-key", "another")
    new = place.read()
    assert describe_changes(old, new) == [
        "account home changed: api.subscription_key (file:subscription-key)",
    ]
    assert in_force_after_reload(old, new) == new


def test_a_credential_with_a_new_value_waits_for_the_next_start(place: Place) -> None:
    old = place.read(CREDENTIAL)
    place.write("credentials/state-key", "another")
    new = place.read(CREDENTIAL.replace('"app"', '"another-app"'))
    assert describe_changes(old, new) == [
        "account home changed: client_id",
        f"account home has a new value: api.subscription_key (credential:state-key); {NEXT_START}",
    ]
    kept = in_force_after_reload(old, new).accounts["home"]
    assert kept.api.subscription_key == old.accounts["home"].api.subscription_key
    assert kept.client_id == "another-app"


def test_another_credential_is_in_force_at_once(place: Place) -> None:
    old = place.read()
    new = place.read(CREDENTIAL)
    assert describe_changes(old, new) == ["account home changed: api.subscription_key (credential:state-key)"]
    assert in_force_after_reload(old, new) == new


def test_socket_and_state_stay_as_they_were_until_the_next_start(place: Place) -> None:
    old = place.read()
    new = place.read('[socket]\nmode = "0600"\n[state]\ndirectory = "/s"\n[log]\nlevel = "debug"\n' + GOOD)
    kept = in_force_after_reload(old, new)
    assert (kept.socket, kept.state, kept.log) == (old.socket, old.state, new.log)


def test_no_value_of_a_secret_is_told(place: Place) -> None:
    old = place.read()
    place.write("client-secret", "another client secret")
    told = " ".join(describe_changes(old, place.read()))
    assert "client_secret (file:client-secret)" in told
    assert "another client secret" not in told
