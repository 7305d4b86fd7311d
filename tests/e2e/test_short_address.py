"""The short local address of a pending login: leads to where it begins, and is gone with it."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from broker.sandbox import CloudThread, credentials, follow_login
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def get(url: str) -> tuple[int, str | None]:
    """Status and Location, not followed."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)) as connection:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        with connection.getresponse() as answer:
            return answer.status, answer.getheader("Location")


def test_a_short_address_logs_in_and_ends_with_the_login(tmp_path: Path) -> None:
    port = free_port()
    redirect_uri = f"http://localhost:{port}/callback"
    with CloudThread() as cloud:
        cloud.options.applications[credentials.PARTNER_CLIENT_ID].redirect_uris.add(redirect_uri)
        text = account(cloud, tmp_path).replace(credentials.REDIRECT_URI, redirect_uri) + ticket()
        daemon = Daemon(tmp_path, text)
        daemon.config.write_text(daemon.config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{port}"'))
        with daemon:
            voided = daemon.client.login("home")["short_url"]
            begun = daemon.client.login("home")
            short = begun["short_url"]
            assert short.startswith(f"http://localhost:{port}/")
            assert len(short) < 40
            assert get(voided)[0] == 404, "a second login voids the first, and its address"
            for _ in range(2):  # a telephone's scanner looks before its owner does
                assert get(short) == (302, begun["authorization_url"])
            assert get(follow_login(begun["authorization_url"], cloud.ca_file))[0] == 200
            assert daemon.client.account("home")["state"] == "logged_in"
            with pytest.raises(ConnectionRefusedError):
                get(short)
        assert urlsplit(short).path not in daemon.log(), "whoever knows it knows the login's state"


def test_where_nothing_listens_there_is_no_short_address(tmp_path: Path) -> None:
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path)) as daemon:
        assert daemon.client.login("home")["short_url"] is None
