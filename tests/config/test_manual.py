"""The manual against the code: a key, default or type that differs between them fails here."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest

from broker import config as types
from broker.config import keys
from broker.config.manual import config_example
from broker.config.table import key_of
from broker.config.view import show_config

from .sample import DEVICE, EXAMPLE_ID

if TYPE_CHECKING:
    from .sample import Place

CONFIG_DIRECTORY = Path(__file__).parents[2] / "config"
SWITCHED_OFF = re.compile(r"^#(?=\[|[a-z_]+ = )", re.MULTILINE)

SECTIONS: list[tuple[type, tuple[str, ...]]] = [
    (types.SocketConfig, ("socket",)),
    (types.StateConfig, ("state",)),
    (types.AccountConfig, ("accounts", "home")),
    (types.OAuthConfig, ("accounts", "home", "oauth")),
    (types.ApiConfig, ("accounts", "home", "api")),
    (types.TicketConfig, ("tickets", "front-door")),
    (types.PublishConfig, ("tickets", "front-door", "publish")),
    (types.LoginConfig, ("login",)),
    (types.HooksConfig, ("hooks",)),
    (types.MetricsConfig, ("metrics",)),
    (types.LogConfig, ("log",)),
]


def manual(*, switched_on: bool) -> dict[str, Any]:
    text = config_example(full=True)
    return tomllib.loads(SWITCHED_OFF.sub("", text) if switched_on else text)


def at(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for part in path:
        document = document[part]
    return document


def with_credentials(place: Place, text: str) -> str:
    for name in ("home-client-secret", "home-subscription-key", "state-key"):
        place.write(f"credentials/{name}", "0123456789abcdef0123456789abcdef", 0o400)
    place.write("secrets/cabin-subscription-key", "key")
    return text.replace(EXAMPLE_ID, DEVICE)


@pytest.mark.parametrize(("kind", "path"), SECTIONS, ids=[".".join(path) for _, path in SECTIONS])
def test_the_manual_has_every_key_of_the_dataclasses_and_no_other(kind: type[Any], path: tuple[str, ...]) -> None:
    expected = {key_of(field.name) for field in fields(kind)} - {"name"}
    assert set(at(manual(switched_on=True), path)) == expected


def test_the_manual_has_every_table_and_no_other() -> None:
    top = {field.name for field in fields(types.Config)} - {"file", "admins"} | {"access"}
    assert set(manual(switched_on=True)) == top
    assert manual(switched_on=True)["access"] == {"admins": ["user:root"]}


def test_the_parsers_have_every_field_of_the_dataclasses() -> None:
    own = {"name", "oauth", "api", "publish", "authority", "client_secret", "ca_file", "subscription_key", "key"}
    pairs: list[tuple[type[Any], dict[str, Any]]] = [
        (types.SocketConfig, keys.SOCKET),
        (types.StateConfig, keys.STATE),
        (types.AccountConfig, keys.ACCOUNT),
        (types.OAuthConfig, keys.OAUTH),
        (types.ApiConfig, keys.API),
        (types.TicketConfig, keys.TICKET),
        (types.PublishConfig, keys.PUBLISH),
        (types.LoginConfig, keys.LOGIN),
        (types.HooksConfig, keys.HOOKS),
        (types.MetricsConfig, keys.METRICS),
        (types.LogConfig, keys.LOG),
    ]
    for kind, parsers in pairs:
        assert {field.name for field in fields(kind)} - own == set(parsers), kind


def test_what_stands_in_the_manual_unswitched_is_the_default_of_the_code(place: Place) -> None:
    config = place.read(with_credentials(place, config_example(full=True)))
    account, ticket = config.accounts["home"], config.tickets["front-door"]
    needed = {
        "name",
        "provider",
        "client_id",
        "account",
        "plant_id",
        "device_id",
        "subscription_key",
        "directory",
        "path",
    }
    for part in (
        config.socket,
        account,
        account.oauth,
        account.api,
        ticket,
        config.login,
        config.hooks,
        config.metrics,
        config.log,
    ):
        for field in fields(part):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            if default is not MISSING:
                assert getattr(part, field.name) == default or field.name == "client_secret", field.name
            else:
                assert field.name in needed | {"authority", "api"}, field.name
    assert account.authority == types.PARTNER_AUTHORITY
    assert config.state.key is None
    assert config.admins == types.Config(config.file, config.socket, config.state).admins


def test_leaving_every_default_of_the_manual_out_means_the_same(place: Place) -> None:
    full = place.read(with_credentials(place, config_example(full=True)))
    small = place.read(with_credentials(place, config_example()))
    assert full == small


def test_a_key_with_a_default_is_not_switched_off_in_the_manual() -> None:
    written = manual(switched_on=False)
    for kind, path in SECTIONS:
        if kind is types.PublishConfig:  # the whole table is optional
            continue
        for field in fields(kind):
            has_default = field.default_factory is not MISSING or field.default not in (MISSING, None)
            if has_default and field.name != "oauth":
                assert key_of(field.name) in at(written, path), f"{path} {field.name}"


def test_everything_in_the_manual_is_accepted_when_it_is_switched_on(place: Place) -> None:
    place.write("anchors.pem", Path(certifi.where()).read_bytes())
    config = place.read(with_credentials(place, SWITCHED_OFF.sub("", config_example(full=True))))
    assert config.accounts["home"].ca_file == place.directory / "anchors.pem"
    assert config.tickets["front-door"].publish == types.PublishConfig(
        path=Path("/run/eliot-broker/tickets/front-door.jwt"), group="doorbell"
    )
    assert config.accounts["cabin"].provider == "b2c"
    assert config.state.key is not None
    assert show_config(config)["accounts"]["home"]["oauth"]["refresh_token_lifetime"] == 14 * 86_400


@pytest.mark.parametrize("full", [False, True])
def test_the_examples_ids_are_refused_and_nothing_else_is(place: Place, full: bool) -> None:
    text = config_example(full=full)
    with_credentials(place, text)
    problems = place.problems(text)
    assert [line.partition(":")[0] for line in problems] == [
        "[accounts.home] client_id",
        "[tickets.front-door] plant_id",
        "[tickets.front-door] device_id",
    ]
    assert all("is still the example's" in line for line in problems)


def test_the_files_in_the_repository_are_the_ones_that_ship() -> None:
    assert (CONFIG_DIRECTORY / "broker.toml").read_text(encoding="utf-8") == config_example()
    assert (CONFIG_DIRECTORY / "broker.full.toml").read_text(encoding="utf-8") == config_example(full=True)
