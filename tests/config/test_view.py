"""What is shown of a configuration: every key, as broker.toml would have it, and no secret."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

from broker.config.view import render_config, show_config
from broker.config.warnings import config_warnings

from .sample import ACCOUNT, API, DEVICE, GOOD, PLANT, TICKET

if TYPE_CHECKING:
    from .sample import Place


def test_the_view_has_the_keys_of_the_file_and_its_own_place(place: Place) -> None:
    view = show_config(place.read(GOOD + 'publish = { path = "/run/x" }\nallow = []\n'))
    assert list(view) == [
        "file",
        "socket",
        "state",
        "accounts",
        "tickets",
        "login",
        "hooks",
        "metrics",
        "log",
        "access",
    ]
    assert view["file"] == str(place.file)
    assert view["socket"] == {"path": "/run/eliot-broker/broker.sock", "mode": "0660"}
    assert view["access"] == {"admins": ["user:root"]}
    assert view["accounts"]["home"]["api"]["timeout"] == 15
    assert view["tickets"]["door"] == {
        "account": "home",
        "plant_id": PLANT,
        "device_id": DEVICE,
        "warm": "always",
        "single_use": False,
        "pool": 1,
        "min_validity": 30,
        "assumed_lifetime": 300,
        "allow": [],
        "publish": {"path": "/run/x", "mode": "0640", "format": "{ticket}"},
    }


def test_secrets_are_shown_by_where_they_came_from(place: Place) -> None:
    config = place.read('[state]\nkey = "credential:state-key"\n' + GOOD)
    view = show_config(config)
    key = config.accounts["home"].api.subscription_key
    assert view["accounts"]["home"]["api"]["subscription_key"] == f"file:subscription-key ({key.value.fingerprint})"
    for text in (json.dumps(view), render_config(view)):
        assert "0123456789abcdef" not in text
        assert "a client secret" not in text


def test_the_text_is_toml_and_says_the_same(place: Place) -> None:
    odd = (
        GOOD.replace("tickets.door", 'tickets."a.b"')
        + 'publish = { path = "/run/x", format = "\\u007f\\n{ticket}\\"" }\n'
    )
    view = show_config(place.read(odd + '[accounts.home.oauth]\nauthorize_params = { "ui locales" = "è" }\n'))
    assert tomllib.loads(render_config(view)) == view


def test_what_is_shown_can_be_read_again_but_for_the_secrets(place: Place) -> None:
    config = place.read()
    view = show_config(config)
    del view["file"]
    view["accounts"]["home"]["client_secret"] = "file:client-secret"
    view["accounts"]["home"]["api"]["subscription_key"] = "file:subscription-key"
    assert place.read(render_config(view)) == config


def test_a_plain_configuration_has_no_warnings(place: Place) -> None:
    assert config_warnings(place.read()) == []


def test_what_may_surprise_is_a_warning_and_not_refused(place: Place) -> None:
    oidc = ACCOUNT.replace("partner", "oidc") + 'authority = "https://host/"\nscopes = ["openid"]\n'
    content = (
        '[socket]\nmode = "0666"\n[login]\nlisten = "127.0.0.1:8401"\n'
        + oidc
        + API
        + TICKET
        + 'pool = 3\npublish = { path = "/run/x", mode = "0644" }\n'
    )
    assert [line.partition(": ")[0] for line in config_warnings(place.read(content))] == [
        "[socket] mode",
        "[accounts.home] redirect_uri",
        "[accounts.home] scopes",
        "[tickets.door] pool",
        "[tickets.door] publish",
    ]


def test_a_redirect_that_no_listener_of_ours_could_get_is_no_warning(place: Place) -> None:
    for uri in ("com.example://oauth2redirect", "https://example.org:9/callback", "http://127.0.0.1:8400/"):
        assert config_warnings(place.read(ACCOUNT + f'redirect_uri = "{uri}"\n' + API)) == []
    away = '[login]\nlisten = ""\n' + ACCOUNT + 'redirect_uri = "http://localhost/"\n' + API
    assert config_warnings(place.read(away)) == []


def test_a_file_with_nothing_to_do_is_a_warning(place: Place) -> None:
    assert config_warnings(place.read("")) == ["[accounts]: there is none, so there is nothing to do"]
