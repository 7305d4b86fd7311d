"""Every parser of a value, as tables: what passes and what it becomes, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from broker.config import addresses, keys, values

if TYPE_CHECKING:
    from broker.config.values import Parser

DURATION = values.duration(1, 14 * values.DAY)
NUMBER = values.whole_number(0, 9)

PASSES: list[tuple[Parser, object, Any]] = [
    (DURATION, "90s", 90.0),
    (DURATION, "5m", 300.0),
    (DURATION, "2h", 7200.0),
    (DURATION, "14d", 1_209_600.0),
    (DURATION, "1.5m", 90.0),
    (DURATION, 7, 7.0),
    (DURATION, 2.5, 2.5),
    (NUMBER, 0, 0),
    (NUMBER, 9, 9),
    (values.mode, "0660", 0o660),
    (values.mode, "660", 0o660),
    (values.mode, "0o600", 0o600),
    (values.mode, "0666", 0o666),
    (values.boolean, False, False),
    (values.list_of(values.text), ["a", "b"], ("a", "b")),
    (values.absolute_path, "/run/x", Path("/run/x")),
    (values.access_rule, "user:homeassistant", "user:homeassistant"),
    (values.access_rule, "uid:0", "uid:0"),
    (values.access_rule, "uid:1000", "uid:1000"),
    (values.access_rule, "group:door-bell", "group:door-bell"),
    (values.access_rule, "gid:1000", "gid:1000"),
    (values.access_rule, "unit:sip-gateway@1.service", "unit:sip-gateway@1.service"),
    (values.uuid, "7E7B1B62-1111-4222-8333-444455556666", "7E7B1B62-1111-4222-8333-444455556666"),
    (values.client_id, "my-app", "my-app"),
    (values.scope, "https://tenant/api/read", "https://tenant/api/read"),
    (values.quota_reset, "rolling", "rolling"),
    (values.quota_reset, "00:00 Europe/Rome", "00:00 Europe/Rome"),
    (values.quota_reset, "23:59 UTC", "23:59 UTC"),
    (values.publish_format, '{"t": "{ticket}"}\n', '{"t": "{ticket}"}\n'),
    (addresses.endpoint_url, "https://host/token?p=x", "https://host/token?p=x"),
    (addresses.endpoint_url, "http://127.0.0.1:80/x", "http://127.0.0.1:80/x"),
    (addresses.endpoint_url, "http://[::1]:80/x", "http://[::1]:80/x"),
    (addresses.endpoint_url, "http://localhost/x", "http://localhost/x"),
    (addresses.base_url, "https://host/v1/", "https://host/v1"),
    (addresses.issuer_url, "https://host/tenant/", "https://host/tenant/"),
    (addresses.b2c_authority, "https://host/tenant/B2C_1_x/", "https://host/tenant/B2C_1_x"),
    (addresses.b2c_authority, "https://host/tfp/tenant/policy", "https://host/tfp/tenant/policy"),
    (addresses.b2c_authority, "https://host/tenant?p=B2C_1_x", "https://host/tenant?p=B2C_1_x"),
    (addresses.redirect_uri, "com.example://oauth2redirect", "com.example://oauth2redirect"),
    (addresses.redirect_uri, "com.example:/oauth2redirect", "com.example:/oauth2redirect"),
    (addresses.redirect_uri, "http://localhost:8400/callback/", "http://localhost:8400/callback/"),
    (addresses.listen_address, "", ""),
    (addresses.listen_address, "127.0.0.1:8400", "127.0.0.1:8400"),
    (addresses.listen_address, "[::1]:8400", "[::1]:8400"),
    (addresses.listen_address, "localhost:8400", "localhost:8400"),
    (addresses.path_template, "/a/{plant_id}/{device_id}", "a/{plant_id}/{device_id}"),
    (addresses.json_pointer, "/data/0/ti~1cket", "/data/0/ti~1cket"),
    (addresses.json_pointer, "", ""),
    (addresses.parameters, {"ui_locales": "it"}, {"ui_locales": "it"}),
    (keys.command, [], ()),
    (keys.command, ["/bin/sh", "-c"], ("/bin/sh", "-c")),
]

REFUSED: list[tuple[Parser, object, str]] = [
    (DURATION, "90", "is no duration"),
    (DURATION, "-5s", "is no duration"),
    (DURATION, "5 m", "is no duration"),
    (DURATION, "\u0665m", "is no duration"),
    (DURATION, "1w", "is no duration"),
    (DURATION, True, "must be a duration"),
    (DURATION, [], "must be a duration"),
    (DURATION, 0, "is out of range"),
    (DURATION, "0s", "is out of range"),
    (DURATION, -1, "is out of range"),
    (DURATION, "15d", "is out of range"),
    (DURATION, float("nan"), "is out of range"),
    (DURATION, float("inf"), "is out of range"),
    (DURATION, 10**400, "is out of range"),
    (DURATION, "9" * 400 + "d", "is out of range"),
    (NUMBER, 10, "is out of range"),
    (NUMBER, -1, "is out of range"),
    (NUMBER, True, "must be a whole number"),
    (NUMBER, 1.0, "must be a whole number"),
    (values.mode, 660, "is no mode"),
    (values.mode, 0o660, "is no mode"),
    (values.mode, "0888", "is no mode"),
    (values.mode, "1777", "is no mode"),
    (values.mode, "u=rw", "is no mode"),
    (values.text, "", "is empty"),
    (values.text, "a\nb", "has control characters"),
    (values.text, 1, "must be a string"),
    (values.boolean, "true", "must be true or false"),
    (values.boolean, 1, "must be true or false"),
    (values.one_of(("a", "b")), "c", "is none of the words"),
    (values.one_of(("a", "b")), [], "is none of the words"),
    (values.list_of(values.text), "a", "must be an array"),
    (values.list_of(values.text), ["a", ""], "entry 2 is empty"),
    (values.absolute_path, "run/x", "is no absolute path"),
    (values.absolute_path, "~/x", "is no absolute path"),
    (values.absolute_path, "/a\x00b", "has control characters"),
    (values.system_name, "a b", "is no name"),
    (values.access_rule, "homeassistant", "is no access rule"),
    (values.access_rule, "user:", "is no access rule"),
    (values.access_rule, "uid:root", "is no access rule"),
    (values.access_rule, "uid:007", "is no access rule"),
    (values.access_rule, "uid:4294967295", "is no access rule"),
    (values.access_rule, "gid:-1", "is no access rule"),
    (values.access_rule, "unit:sip-gateway", "is no access rule"),
    (values.access_rule, "pid:1", "is no access rule"),
    (values.uuid, "7e7b1b62-…", "is no UUID"),
    (values.uuid, "7e7b1b62111142228333444455556666", "is no UUID"),
    (values.uuid, values.EXAMPLE_ID, "is still the example's"),
    (values.client_id, values.EXAMPLE_ID, "is still the example's"),
    (values.client_id, "…", "is still the example's"),
    (values.client_id, "<your id>", "is still the example's"),
    (values.client_id, "a b", "is no client id"),
    (values.scope, "openid offline_access", "is no scope"),
    (values.scope, "", "is no scope"),
    (values.quota_reset, "midnight", "is no time of the day"),
    (values.quota_reset, "24:00 Europe/Rome", "is no time of the day"),
    (values.quota_reset, "00:00", "is no time of the day"),
    (values.quota_reset, "00:00 Europe/Milano", "has a time zone"),
    (values.quota_reset, "00:00 Europe", "has a time zone"),
    (values.quota_reset, "00:00 ../../etc/passwd", "has a time zone"),
    (values.publish_format, "TICKET=", "does not contain {ticket} exactly once"),
    (values.publish_format, "{ticket}{ticket}", "does not contain {ticket} exactly once"),
    (addresses.endpoint_url, "http://host/x", "is not encrypted"),
    (addresses.endpoint_url, "http://127.0.0.1.example/x", "is not encrypted"),
    (addresses.endpoint_url, "ftp://host/x", "is no https URL"),
    (addresses.endpoint_url, "host/x", "is no https URL"),
    (addresses.endpoint_url, "https:///x", "is no https URL"),
    (addresses.endpoint_url, "https://[host/x", "is no URL"),
    (addresses.endpoint_url, "https://host:99999/x", "is no URL"),
    (addresses.endpoint_url, "https://ho st/x", "is no URL"),
    (addresses.endpoint_url, "https://user:pass@host/x", "has a user or password"),
    (addresses.endpoint_url, "https://@host/x", "has a user or password"),
    (addresses.endpoint_url, "https://host/x#y", "has a fragment"),
    (addresses.base_url, "https://host/v1?x=y", "has a query"),
    (addresses.issuer_url, "https://host/.well-known/openid-configuration", "is no issuer"),
    (addresses.b2c_authority, "https://host/tenant", "does not name a tenant and a policy"),
    (addresses.b2c_authority, "https://host/tfp/tenant", "does not name a tenant and a policy"),
    (addresses.b2c_authority, "https://host?p=policy", "does not name a tenant and a policy"),
    (addresses.b2c_authority, "https://host/tenant?q=policy", "does not name a tenant and a policy"),
    (addresses.b2c_authority, "https://host/tenant/policy/oauth2/v2.0/token", "is an endpoint"),
    (addresses.redirect_uri, "/callback", "is no absolute URI"),
    (addresses.redirect_uri, "http://", "is no absolute URI"),
    (addresses.redirect_uri, "http://localhost:8400/callback#", "has a fragment"),
    (addresses.redirect_uri, "http://me:pw@localhost/", "has a user or password"),
    (addresses.listen_address, "8400", "is no HOST:PORT"),
    (addresses.listen_address, "127.0.0.1", "is no HOST:PORT"),
    (addresses.listen_address, "127.0.0.1:0", "is no HOST:PORT"),
    (addresses.listen_address, "127.0.0.1:65536", "is no HOST:PORT"),
    (addresses.listen_address, "127.0.0.1:" + "9" * 5000, "is no HOST:PORT"),
    (addresses.listen_address, "0.0.0.0:8400", "is no loopback address"),
    (addresses.listen_address, "::1:8400", "is no loopback address"),
    (addresses.listen_address, "[127.0.0.1]:8400", "is no loopback address"),
    (addresses.listen_address, 8400, "must be a string"),
    (addresses.path_template, "a/{plantId}", "has an unknown placeholder"),
    (addresses.path_template, "a/{plant_id!r}", "has an unknown placeholder"),
    (addresses.path_template, "a/{plant_id:9}", "has an unknown placeholder"),
    (addresses.path_template, "a/{}", "has an unknown placeholder"),
    (addresses.path_template, "a/{plant_id", "has a brace too many"),
    (addresses.path_template, "a b", "is no path"),
    (addresses.path_template, "https://host/a", "is no path"),
    (addresses.json_pointer, "data/ticket", "is no JSON pointer"),
    (addresses.json_pointer, "/a~2", "is no JSON pointer"),
    (addresses.json_pointer, "/a~", "is no JSON pointer"),
    (addresses.parameters, "x=y", "must be a table"),
    (addresses.parameters, {"a": 1}, "has an entry that is no plain string"),
    (addresses.parameters, {"a": "b\r\nc"}, "has an entry that is no plain string"),
    (addresses.parameters, {"client_secret": "x"}, "names client_secret, a secret"),
    (addresses.parameters, {"state": "x"}, "names state, which the broker sets itself"),
    (keys.command, ["tell-me"], "is no absolute path"),
    (keys.command, ["/nowhere/tell-me"], "names a program that cannot be run"),
    (keys.command, ["/tmp"], "names a program that cannot be run"),
    (keys.command, "/bin/sh", "must be an array"),
]


@pytest.mark.parametrize(("parse", "value", "expected"), PASSES)
def test_a_good_value_becomes_what_the_dataclass_holds(parse: Parser, value: object, expected: Any) -> None:
    assert parse(value) == expected


@pytest.mark.parametrize(("parse", "value", "problem"), REFUSED)
def test_a_bad_value_is_refused_with_a_remedy(parse: Parser, value: object, problem: str) -> None:
    with pytest.raises(values.Refused) as caught:
        parse(value)
    ((told, remedy),) = caught.value.pairs
    assert told.startswith(problem)
    assert remedy


def test_every_bad_entry_of_an_array_is_told() -> None:
    with pytest.raises(values.Refused) as caught:
        values.list_of(values.access_rule)(["x", "user:root", 3])
    assert [problem.split(" ")[1] for problem, _ in caught.value.pairs] == ["1", "3"]


@pytest.mark.parametrize(
    ("provider", "address", "good"),
    [
        ("partner", "https://host", True),
        ("partner", "https://host/?p=x", False),
        ("oidc", "https://host/realm/", True),
        ("b2c", "https://host/realm/", False),
        (None, "https://host", True),
        (["b2c"], "https://host", True),
    ],
)
def test_what_an_authority_must_be_depends_on_the_provider(provider: object, address: str, good: bool) -> None:
    try:
        keys.authority_parser(provider)(address)
    except values.Refused:
        assert not good
    else:
        assert good
