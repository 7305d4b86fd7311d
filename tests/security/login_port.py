"""A real daemon that listens for its logins, two accounts on the stand-in cloud, and raw requests to both listeners.

Knows the outside of the broker only. The one invariant: what is sent is what the test wrote, byte for byte.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from broker.sandbox import credentials, follow_login
from tests.e2e.daemon import Daemon, account, ticket
from tests.e2e.ports import free_port
from tests.e2e.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from broker.sandbox import Cloud

PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    """One HTTP answer as it came; status 0: the connection was closed without one."""

    status: int
    head: str
    body: str

    @property
    def location(self) -> str | None:
        """Where it sends the browser."""
        return next((line[10:] for line in self.head.split("\r\n") if line.lower().startswith("location: ")), None)


def read_to_end(connection: socket.socket) -> Answer:
    """All that comes until the other side closes."""
    received = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65_536):
            received += more
    head, _, body = received.decode("utf-8", "backslashreplace").partition("\r\n\r\n")
    return Answer(int(head[9:12] or 0), head, body)


class LoginPort:
    """The daemon and its login listener: `home` at the partner gateway, `office` at a provider with PKCE."""

    def __init__(self, directory: Path, cloud: Cloud, *, log_level: str = "debug") -> None:
        self.cloud = cloud
        self.port = free_port()
        redirect_uri = f"http://localhost:{self.port}/callback"
        for client in (credentials.PARTNER_CLIENT_ID, credentials.OIDC_PUBLIC_CLIENT_ID):
            cloud.options.applications[client].redirect_uris.add(redirect_uri)
        cloud.options.change(daily_quota=0)
        unmetered = "daily_quota = 0"
        accounts = account(cloud, directory, api=unmetered)
        accounts += account(cloud, directory, "office", provider="oidc", api=unmetered)
        self.daemon = Daemon(directory, "", log_level=log_level)
        self.daemon._head = self.daemon._head.replace('listen = ""', f'listen = "127.0.0.1:{self.port}"')
        self.daemon.write(accounts.replace(credentials.REDIRECT_URI, redirect_uri) + ticket())

    def begin(self, name: str = "home") -> str:
        """Begin a login; its authorization URL."""
        return str(self.daemon.client.login(name)["authorization_url"])

    def land(self, authorization_url: str, *, user: str | None = None, answer: Any = "accept") -> str:
        """What the browser would open next, having signed in."""
        return follow_login(authorization_url, self.cloud.ca_file, user=user, answer=answer)

    def target(self, **parameters: str) -> str:
        """The redirect's path with these parameters."""
        return f"/callback?{urlencode(parameters)}"

    def raw(self, request: bytes) -> Answer:
        """Send bytes to the login listener, read until it closes. Raises: ConnectionRefusedError."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            with suppress(ConnectionError):  # it may answer and close before it has read all
                connection.sendall(request)
            return read_to_end(connection)

    def get(self, target: str, *headers: str, method: str = "GET", host: str | None = None) -> Answer:
        """Ask the login listener for a target, or a whole URL of it. Raises: ConnectionRefusedError."""
        parts = urlsplit(target)
        if parts.scheme == "http" and parts.port == self.port:
            target = f"{parts.path}?{parts.query}"
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or f'localhost:{self.port}'}", "Connection: close"]
        return self.raw("\r\n".join([*lines, *headers, "", ""]).encode())

    def local(self, request: bytes) -> Answer:
        """Send bytes to the broker's own socket, read until it closes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(os.fspath(self.daemon.socket_path))
            connection.sendall(request)
            return read_to_end(connection)

    def listens(self) -> bool:
        """Whether anybody takes connections at the port, at either loopback address."""
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as probe:
                probe.settimeout(PATIENCE_SECONDS)
                if probe.connect_ex((address, self.port)) == 0:
                    return True
        return False

    def row(self, name: str = "home") -> dict[str, Any]:
        """What the broker tells of an account."""
        return self.daemon.client.account(name)

    def pending(self, name: str = "home") -> bool:
        """Whether the account's login is pending."""
        return bool((self.row(name)["login"] or {}).get("pending"))

    def end_logins(self) -> None:
        """No login is pending, nothing listens, `home` is logged in, `office` is not."""
        self.daemon.client.logout("office")
        self.daemon.client.logout("home")
        self.daemon.login(self.cloud)
        until(lambda: not self.listens(), seconds=PATIENCE_SECONDS, what="the login listener closes")

    def descriptors(self) -> int:
        """How many the daemon has open."""
        assert self.daemon.process is not None
        return len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))  # noqa: PTH208


def state_of(url: str) -> str:
    """The state that an authorization URL or a redirect carries."""
    return parse_qs(urlsplit(url).query)["state"][0]


def code_of(url: str) -> str:
    """The code that a redirect carries."""
    return parse_qs(urlsplit(url).query)["code"][0]
