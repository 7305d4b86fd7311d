"""Where things are when nobody says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.config.places import default_socket_path, default_state_directory, find_config_file
from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_places_are_tried_in_the_order_of_the_contract(tmp_path: Path) -> None:
    system = touched(tmp_path / "etc" / "broker.toml")
    explicit = touched(tmp_path / "explicit.toml")
    named = touched(tmp_path / "named.toml")
    xdg = touched(tmp_path / "xdg" / "eliot-broker" / "broker.toml")
    home = touched(tmp_path / "home" / ".config" / "eliot-broker" / "broker.toml")
    environ = {
        "ELIOT_BROKER_CONFIG": str(named),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "HOME": str(tmp_path / "home"),
    }

    assert find_config_file(explicit, environ, system_file=system) == explicit
    assert find_config_file(None, environ, system_file=system) == named
    environ["ELIOT_BROKER_CONFIG"] = ""
    assert find_config_file(None, environ, system_file=system) == system
    system.unlink()
    assert find_config_file(None, environ, system_file=system) == xdg
    environ["XDG_CONFIG_HOME"] = "relative/is/ignored"
    assert find_config_file(None, environ, system_file=system) == home


@pytest.mark.parametrize("explicit", [True, False])
def test_a_place_that_was_chosen_is_never_replaced_by_another(tmp_path: Path, explicit: bool) -> None:
    system = touched(tmp_path / "broker.toml")
    missing = tmp_path / "missing.toml"
    environ = {} if explicit else {"ELIOT_BROKER_CONFIG": str(missing)}
    with pytest.raises(ConfigError, match=r"missing\.toml") as caught:
        find_config_file(missing if explicit else None, environ, system_file=system)
    assert str(system) not in str(caught.value)


def test_where_there_is_none_every_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config_file(None, {"HOME": str(tmp_path)}, system_file=tmp_path / "etc" / "broker.toml")
    assert f"{tmp_path}/etc/broker.toml (not there)" in str(caught.value)
    assert f"{tmp_path}/.config/eliot-broker/broker.toml (not there)" in str(caught.value)
    assert len(caught.value.problems) == 2
    assert caught.value.hint


def test_without_a_home_only_the_systems_place_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config_file(None, {}, system_file=tmp_path / "broker.toml")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/1"}, "/run/a/broker.sock"),
        ({"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": "/run/user/1"}, "/run/user/1/eliot-broker/broker.sock"),
        ({"XDG_RUNTIME_DIR": "relative"}, "/run/eliot-broker/broker.sock"),
        ({}, "/run/eliot-broker/broker.sock"),
    ],
)
def test_the_socket_is_where_systemd_or_the_session_says(environ: Mapping[str, str], expected: str) -> None:
    assert default_socket_path(environ) == Path(expected)


@pytest.mark.parametrize(
    ("environ", "user_id", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, 1000, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/me"}, 1000, "/x/eliot-broker"),
        ({"XDG_STATE_HOME": "x", "HOME": "/home/me"}, 1000, "/home/me/.local/state/eliot-broker"),
        ({"HOME": "/home/me"}, 1000, "/home/me/.local/state/eliot-broker"),
        ({"HOME": "/root"}, 0, "/var/lib/eliot-broker"),
        ({"XDG_STATE_HOME": "/x"}, 0, "/x/eliot-broker"),
        ({}, 1000, None),
    ],
)
def test_the_state_is_where_systemd_or_xdg_says(environ: Mapping[str, str], user_id: int, expected: str | None) -> None:
    found = default_state_directory(environ, user_id=user_id)
    assert found == (None if expected is None else Path(expected))
