"""`eliot-broker sandbox`: the stand-in cloud, and a real broker on it that is logged in.

Writes a configuration like any operator would, starts the daemon on it, and plays the person who logs in. Knows the
daemon only from outside: its configuration, its socket. The one invariant: only the socket's path (or, with `once`,
the ticket) goes to stdout.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from broker.client import Client, ClientError, Unreachable
from broker.daemon import serve
from broker.sandbox import credentials
from broker.sandbox.cloud_thread import CloudThread
from broker.sandbox.options import Options
from broker.sandbox.person import LoginPageError, follow_login
from broker.sandbox.scenarios import SCENARIOS

if TYPE_CHECKING:
    import argparse

    from broker.sandbox.cloud import Cloud

START_SECONDS = 20.0
LISTEN = "127.0.0.1:8400"
CONFIGURATION = """\
# written by `eliot-broker sandbox`; the cloud in it is made up and lives on this machine only
[socket]
path = "{directory}/broker.sock"
mode = "0600"

[state]
directory = "{directory}/state"

[login]
listen = "{listen}"

[log]
level = "{level}"

[accounts.home]
provider      = "{provider}"
authority     = "{authority}"
client_id     = "{client_id}"
{client_secret}
redirect_uri  = "{redirect_uri}"
ca_file       = "{ca_file}"

[accounts.home.api]
base_url         = "{base_url}"
subscription_key = "file:{directory}/subscription-key"
daily_quota      = {daily_quota}
"""
DOOR = f"""
[tickets.front-door]
account   = "home"
plant_id  = "{credentials.PLANT_ID}"
device_id = "{credentials.DEVICE_ID}"
"""


def run(args: argparse.Namespace) -> int:
    """Run until interrupted, or with `args.once` until one ticket was vended; the exit code."""
    scenario = args.scenario or "normal"
    with tempfile.TemporaryDirectory(prefix="eliot-sandbox-") as name, CloudThread(Options()) as cloud:
        directory = Path(name)
        config = write_configuration(directory, cloud, provider=args.provider or "partner", lively=scenario != "normal")
        visitor = Visitor(config, directory / "broker.sock", cloud, scenario=scenario, once=args.once)
        visitor.start()
        code = serve(config)
        visitor.over.set()
        visitor.join()
        return visitor.code if args.once and code == 0 else code


def write_configuration(directory: Path, cloud: Cloud, *, provider: str, lively: bool) -> Path:
    """A broker.toml for this cloud; `lively`: with short lives, a day's quota of 500 would be gone in two hours."""
    if lively:
        cloud.options.change(daily_quota=0)
    secret = {"subscription-key": credentials.SUBSCRIPTION_KEY}
    client_secret = ""
    if provider == "partner":
        secret["client-secret"] = credentials.PARTNER_CLIENT_SECRET
        client_secret = f'client_secret = "file:{directory}/client-secret"'
    for name, value in secret.items():
        path = directory / name
        path.touch(mode=0o600)
        path.write_text(value)
    text = CONFIGURATION.format(
        directory=directory,
        listen=LISTEN if _is_free(LISTEN) else "",
        level="info",
        provider=provider,
        authority=cloud.partner_authority if provider == "partner" else cloud.b2c_authority(),
        client_id=credentials.PARTNER_CLIENT_ID if provider == "partner" else credentials.B2C_PUBLIC_CLIENT_ID,
        client_secret=client_secret,
        redirect_uri=credentials.REDIRECT_URI,
        ca_file=cloud.ca_file,
        base_url=cloud.api_base_url,
        daily_quota=0 if lively else 500,
    )
    config = directory / "broker.toml"
    config.write_text(text)
    return config


class Visitor(threading.Thread):
    """Plays the person who logs in, adds a door, then says where the socket is (or fetches one ticket).

    The door comes after the login: a newcomer's first line would be the error that there is no ticket.
    """

    def __init__(self, config: Path, socket_path: Path, cloud: Cloud, *, scenario: str, once: bool) -> None:
        super().__init__(name="sandbox-visitor", daemon=True)
        self.over = threading.Event()
        self.code = 1
        self._config = config
        self._client = Client(socket_path)
        self._socket_path = socket_path
        self._cloud = cloud
        self._scenario = SCENARIOS[scenario]
        self._once = once

    def run(self) -> None:
        """Log in, tell, and where only one ticket is wanted end the daemon."""
        try:
            self._visit()
        except (ClientError, LoginPageError) as error:
            _say(f"error: sandbox: {error}")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if self._once:
            os.kill(os.getpid(), signal.SIGTERM)

    def _visit(self) -> None:
        if not self._await_broker():
            return
        begun = self._client.login("home")
        landed = follow_login(begun["authorization_url"], self._cloud.ca_file)
        self._client.complete_login("home", landed)
        with self._config.open("a") as file:
            file.write(DOOR)
        self._client.reload()
        self._cloud.play(self._scenario)
        _say(f"logged in as {credentials.USER}; playing {self._scenario.name}: {self._scenario.plays}")
        ticket = self._client.ticket("front-door", wait=10)
        self.code = 0
        if self._once:
            print(ticket.value, flush=True)  # noqa: T201 - the result
            return
        print(f"ELIOT_BROKER_SOCKET={self._socket_path}", flush=True)  # noqa: T201 - the result
        _say("ask it from another terminal: eliot-broker ticket front-door; stop it here with Ctrl-C")

    def _await_broker(self) -> bool:
        """Whether the broker came up; False when it ended before."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self._client.status()
            except Unreachable:
                if self.over.wait(0.02):
                    return False
            else:
                return True
        raise Unreachable(f"the broker did not come up within {START_SECONDS:.0f} s")


def _is_free(listen: str) -> bool:
    from broker.errors import BrokerError
    from broker.login_window import check_free

    try:
        check_free(listen)
    except BrokerError:
        return False
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for the person at the terminal
