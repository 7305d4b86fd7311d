"""The whole file: defaults, every rule between keys, and all problems in one error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.config import PARTNER_AUTHORITY, REDIRECT_URI
from broker.config.file import LARGEST_FILE_BYTES, read_config
from broker.errors import Code, ConfigError, Remedy

from .sample import ACCOUNT, API, DEVICE, GOOD, PLANT, TICKET

if TYPE_CHECKING:
    from .sample import Place

B2C = ACCOUNT.replace("partner", "b2c") + 'authority = "https://host/tenant/policy"\n'


def test_the_smallest_file_is_filled_with_the_defaults(place: Place) -> None:
    config = place.read()
    account = config.accounts["home"]
    assert (account.name, account.authority, account.redirect_uri) == ("home", PARTNER_AUTHORITY, REDIRECT_URI)
    assert (account.api.timeout_seconds, account.api.quota_reserve) == (15.0, 50)
    ticket = config.tickets["door"]
    assert (ticket.plant_id, ticket.device_id, ticket.allow, ticket.publish) == (PLANT, DEVICE, None, None)
    assert config.file == place.file
    assert config.admins == ("user:root",)


def test_an_empty_file_is_a_configuration_with_nothing_to_do(place: Place) -> None:
    config = place.read("")
    assert not config.accounts
    assert not config.tickets


def test_every_problem_is_told_in_one_error_with_file_table_key_problem_and_remedy(place: Place) -> None:
    profile = 'it is in your profile on the developer portal: subscription_key = "credential:NAME"'
    content = (
        '[sockets]\n[log]\nlevel = "loud"\n'
        + ACCOUNT.replace("client_id", "client_ident")
        + API.replace("subscription_key", "timeout")
        + TICKET.replace('"home"', '"hoem"').replace(PLANT, "?")
        + "pool = 0\n"
    )
    assert place.problems(content) == [
        "[accounts.home] client_id: is missing; copy it from your application on the developer portal",
        '[accounts.home.api] timeout: is no duration; write "90s", "5m", "2h", "14d" or a number of seconds',
        f"[accounts.home.api] subscription_key: is missing; {profile}",
        '[accounts.home] client_ident: is unknown; did you mean "client_id"?',
        "[tickets.door] plant_id: is no UUID; copy the id as the developer portal shows it: 8-4-4-4-12 hex digits",
        "[tickets.door] pool: is out of range; write 1 to 100",
        '[tickets.door] account: names no account of this file; did you mean "home"?',
        '[log] level: is none of the words it may be; write one of "debug", "info", "warning", "error"',
        'sockets: is unknown; did you mean "socket"?',
    ]


def test_the_error_is_one_readable_block(place: Place) -> None:
    place.write("broker.toml", "a = 1\n[b]\n")
    with pytest.raises(ConfigError) as caught:
        read_config(place.file, place.environ, user_id=1000)
    known = "known here: access, accounts, hooks, log, login, metrics, socket, state, tickets"
    assert str(caught.value) == (
        "the configuration cannot be used, 2 problems:\n"
        f"  {place.file}: a: is unknown; {known}\n"
        f"  {place.file}: b: is unknown; {known}"
    )
    assert (caught.value.code, caught.value.remedy) == (Code.CONFIG_ERROR, Remedy.FIX)
    assert caught.value.hint


PROBLEMS: list[tuple[str, str, str]] = [
    ("a syntax error", "[accounts.home\n", "is no TOML: expected ']' at the end of a table declaration (at line 1,"),
    ("a key twice", "[log]\nlevel = 'info'\nlevel = 'info'\n", "is no TOML: cannot overwrite a value (at line 3,"),
    ("a number of 5000 digits", f"[log]\nlevel = {'9' * 5000}\n", "is no TOML: exceeds the limit"),
    ("a table that is a number", "accounts = 3\n", "[accounts]: must be a table, not a number; write it as [accounts]"),
    ("a table that is an array", "[[socket]]\n", "[socket]: must be a table, not an array"),
    ("an account that is a word", '[accounts]\nhome = "x"\n', "[accounts.home]: must be a table, not a string"),
    ("an account's odd name", ACCOUNT.replace("home", '"my home"') + API.replace("home", '"my home"'),
     '[accounts."my home"]: has a name that cannot be used'),
    ("a ticket's odd name", GOOD.replace("tickets.door", "tickets._x"), "[tickets._x]: has a name that cannot be used"),
    ("a ticket's long name", GOOD.replace("tickets.door", f"tickets.{'x' * 65}"), '[tickets."xxx'),
    ("a date", GOOD + "single_use = 2026-01-01\n", "[tickets.door] single_use: must be true or false, not a date"),
    ("no account at all", TICKET, "[tickets.door] account: names no account of this file; there is none yet"),
    ("an account without provider", GOOD.replace('provider = "partner"\n', ""), "[accounts.home] provider: is missing"),
    ("an unknown provider", GOOD.replace('"partner"', '"b2b"'), "[accounts.home] provider: is none of the words"),
    ("a provider that is no string", GOOD.replace('"partner"', '["b2c"]'), "[accounts.home] provider: is none of"),
    ("partner without secret", GOOD.replace('client_secret = "file:client-secret"\n', ""),
     "[accounts.home] client_secret: is missing; the partner gateway demands one"),
    ("b2c without authority", GOOD.replace("partner", "b2c"),
     "[accounts.home] authority: is missing; only partner has a default: write https://HOST/TENANT/POLICY"),
    ("oidc without authority", GOOD.replace("partner", "oidc"),
     "[accounts.home] authority: is missing; only partner has a default: write the issuer's https URL"),
    ("b2c without policy", B2C.replace("/policy", "") + API, "[accounts.home] authority: does not name a tenant and"),
    ("no api", ACCOUNT, "[accounts.home.api] subscription_key: is missing"),
    ("a missing ca_file", ACCOUNT + 'ca_file = "no.pem"\n' + API, "[accounts.home] ca_file: cannot be read: no such"),
    ("a ca_file of something else", ACCOUNT + 'ca_file = "client-secret"\n' + API,
     "[accounts.home] ca_file: holds no certificates"),
    ("a reserve as large as the quota", ACCOUNT + API + "daily_quota = 9\nquota_reserve = 9\n",
     "[accounts.home.api] quota_reserve: leaves nothing of daily_quota; write less than 9"),
    ("a reserve as large as the default", ACCOUNT + API + "quota_reserve = 500\n",
     "[accounts.home.api] quota_reserve: leaves nothing of daily_quota; write less than 500"),
    ("publish with single_use", GOOD + 'single_use = true\npublish = { path = "/run/x" }\n',
     "[tickets.door] publish: cannot go with single_use"),
    ("publish without path", GOOD + 'publish = { mode = "0640" }\n', "[tickets.door.publish] path: is missing"),
    ("publish that is a path", GOOD + 'publish = "/run/x"\n', "[tickets.door.publish]: must be a table, not a string"),
    ("publish with an unknown key", GOOD + 'publish = { path = "/run/x", owner = "me" }\n',
     "[tickets.door.publish] owner: is unknown"),
    ("publish of two in one file", GOOD + 'publish = { path = "/run/x" }\n' + TICKET.replace("door", "gate")
     + 'publish = { path = "/run/x" }\n',
     "[tickets.gate.publish] path: is the file of [tickets.door.publish] too"),
    ("a socket path that is too long", f'[socket]\npath = "/{"x" * 107}"\n', "[socket] path: has 108 bytes;"),
    ("a mode that is a number", "[socket]\nmode = 0o660\n", "[socket] mode: is no mode in octal digits; write it in"),
    ("a misspelt key", "[login]\nlisen = ''\n", '[login] lisen: is unknown; did you mean "listen"?'),
    ("a key in odd letters", '"a\\u0000b" = 1\n', '"a\\u0000b": is unknown'),
]  # fmt: skip


@pytest.mark.parametrize(("content", "told"), [case[1:] for case in PROBLEMS], ids=[case[0] for case in PROBLEMS])
def test_a_problem_is_told_where_it_is(place: Place, content: str, told: str) -> None:
    lines = place.problems(content)
    assert any(line.startswith(told) for line in lines), lines
    assert all("; " in line for line in lines)


def test_a_missing_publish_path_is_one_problem_and_no_crash(place: Place) -> None:
    assert len(place.problems(GOOD + "publish = {}\n")) == 1


@pytest.mark.parametrize(
    ("keys", "reserve"),
    [
        ("daily_quota = 51\n", 50),
        ("daily_quota = 50\n", 5),
        ("daily_quota = 3\n", 0),
        ("daily_quota = 0\n", 50),
        ("daily_quota = 9\nquota_reserve = 8\n", 8),
        ("daily_quota = 0\nquota_reserve = 8\n", 8),
    ],
)
def test_a_small_quota_keeps_a_tenth_back_unless_told_otherwise(place: Place, keys: str, reserve: int) -> None:
    assert place.read(ACCOUNT + API + keys).accounts["home"].api.quota_reserve == reserve


def test_a_path_of_107_bytes_is_still_a_socket(place: Place) -> None:
    assert len(str(place.read(f'[socket]\npath = "/{"x" * 106}"\n').socket.path)) == 107


def test_the_default_socket_path_is_checked_too(place: Place) -> None:
    place.environ["RUNTIME_DIRECTORY"] = "/run/" + "x" * 100
    assert place.problems("")[0].startswith("[socket] path: has 117 bytes")


def test_b2c_and_oidc_may_be_public_clients(place: Place) -> None:
    for provider, authority in (("b2c", "https://host/tenant/policy"), ("oidc", "https://host/realm/")):
        content = f'[accounts.home]\nprovider = "{provider}"\nauthority = "{authority}"\nclient_id = "app"\n' + API
        account = place.read(content).accounts["home"]
        assert (account.client_secret, account.authority) == (None, authority)


def test_a_state_directory_must_be_told_where_nothing_tells_it(place: Place) -> None:
    del place.environ["HOME"]
    assert place.problems("") == [
        "[state] directory: is missing; write it, for neither $STATE_DIRECTORY nor $HOME tells a place"
    ]
    assert place.read('[state]\ndirectory = "/s"\n').state.directory == Path("/s")


def test_a_name_may_have_dots_and_64_characters(place: Place) -> None:
    name = "a.b-c_" + "9" * 58
    assert name in place.read(GOOD.replace("tickets.door", f'tickets."{name}"')).tickets


def test_a_byte_order_mark_and_windows_lines_are_read(place: Place) -> None:
    assert place.read(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()).accounts


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\n\n# \xff\n", "line 3 is no UTF-8 text; save the file as UTF-8"),
        (b"#" * (LARGEST_FILE_BYTES + 1), f"is larger than {LARGEST_FILE_BYTES} bytes; is it the right file?"),
        (b"a = " + b"[" * 5000, "is no TOML: it is nested too deeply; correct it there"),
    ],
)
def test_what_is_no_toml_file_is_said_to_be_none(place: Place, content: bytes, told: str) -> None:
    (line,) = place.problems(content)
    assert line == told


@pytest.mark.parametrize("name", ["nowhere.toml", ".", "client-secret/x", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_configuration_error(place: Place, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(place.directory / name, place.environ)
