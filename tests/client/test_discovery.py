"""Where the socket is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.client.discovery import socket_candidates

USUAL = "/run/eliot-broker/broker.sock"


@pytest.mark.parametrize(
    ("argument", "environment", "expected"),
    [
        ("/a", {"ELIOT_BROKER_SOCKET": "/b"}, ("/a",)),
        (Path("/a"), {}, ("/a",)),
        ("unix:///a", {}, ("/a",)),
        (None, {"ELIOT_BROKER_SOCKET": "/b", "XDG_RUNTIME_DIR": "/run/user/1"}, ("/b",)),
        (None, {"ELIOT_BROKER_SOCKET": "unix:///b"}, ("/b",)),
        (None, {"ELIOT_BROKER_SOCKET": ""}, (USUAL,)),
        (None, {"XDG_RUNTIME_DIR": "/run/user/1"}, (USUAL, "/run/user/1/eliot-broker/broker.sock")),
        (None, {}, (USUAL,)),
    ],
)
def test_the_first_place_that_was_named_counts(
    argument: str | Path | None, environment: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert socket_candidates(argument, environment) == expected


@pytest.mark.parametrize("value", ["tcp://localhost:1", "http://x", "unix://", "/a\0b"])
def test_an_address_of_another_kind_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must be /path or unix:///path"):
        socket_candidates(value, {})
