"""The world of the canary tests: a cloud that tells its secrets, a daemon, and every way in which things go wrong.

Knows the outside of the broker only, but for the confession: what every living object of the daemon says of itself.
The one invariant: all that anybody was told is kept, to be searched.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from broker.client import Problem
from broker.client.wire import Request
from broker.sandbox import credentials, follow_login
from tests.e2e.daemon import ROOT, Daemon, secret_file
from tests.e2e.waiting import until
from tests.security.canaries import Canaries, files_below, listen_in
from tests.security.confession import ENDED

if TYPE_CHECKING:
    from broker.sandbox import Cloud

TICKETS = 9  # of each account: each failure wants one that nobody asked for yet
ACCOUNTS = ("gateway", "direct", "office")
KINDS = (
    "client secret", "subscription key", "refresh token", "id token", "access token", "code", "code_verifier",
    "nonce", "state", "ticket", "state key", "passphrase",
)  # fmt: skip
CONFESSION = Path(__file__).with_name("confession.py")
HOOK = """#!/bin/sh
env >> "{log}"
exit 3
"""


def canary(kind: str) -> str:
    """A value that nothing else can be mistaken for, and that no pattern of the redaction is made for."""
    return f"canary.{kind.replace(' ', '.')}.{secrets.token_hex(8)}"


class Confessing(Daemon):
    """A daemon whose objects tell themselves when asked; `package` is the directory that its code is in."""

    package = ROOT

    def command(self) -> list[str | Path]:
        """The same daemon, behind confession.py."""
        return [sys.executable, CONFESSION, self.package, self.record, "serve", "--config", self.config]

    @property
    def record(self) -> Path:
        """What they told."""
        return self.directory / "confession"

    def confess(self) -> None:
        """Have everything told that is alive now."""
        assert self.process is not None
        before = self._confessions()
        self.process.send_signal(signal.SIGUSR2)
        until(lambda: self._confessions() > before, seconds=60, what="a confession")

    def _confessions(self) -> int:
        return self.record.read_bytes().count(ENDED) if self.record.exists() else 0


@dataclass
class World:
    """A cloud that tells its secrets, a daemon with all three ways to sign in, and all that anybody was told."""

    directory: Path
    cloud: Cloud
    level: str
    package: Path = ROOT
    canaries: Canaries = field(default_factory=Canaries)
    told: list[str] = field(default_factory=list)
    shown: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        listen_in(self.cloud, self.canaries)
        self.client_secret, self.office_secret, self.key = canary("client"), canary("office"), canary("key")
        self.state_key, self.passphrase = canary("state key") * 2, canary("passphrase")
        for kind, value in (
            ("client secret", self.client_secret),
            ("client secret", self.office_secret),
            ("subscription key", self.key),
            ("state key", self.state_key),
            ("passphrase", self.passphrase),
        ):
            self.canaries.add(kind, value)
        applications = self.cloud.options.applications
        applications[credentials.PARTNER_CLIENT_ID].secret = self.client_secret
        applications[credentials.OIDC_CONFIDENTIAL_CLIENT_ID].secret = self.office_secret
        self.cloud.options.change(subscription_keys={self.key}, daily_quota=0, ticket_seconds=600)
        self.key_file = secret_file(self.directory, "subscription-key", self.key)
        self.hook = self.directory / "hook"
        self.hook.write_text(HOOK.format(log=self.directory / "hook.log"))
        self.hook.chmod(0o755)
        self.daemon = Confessing(
            self.directory,
            self.config(),
            log_level=self.level,
            environ={
                "CANARY_CLIENT": self.client_secret,
                "CANARY_OFFICE": self.office_secret,
                "CANARY_STATE_KEY": self.state_key,
            },
        )
        self.daemon.package = self.package
        head, state = self.daemon._head, f'directory = "{self.directory}/state"\n'
        self.daemon._head = head.replace(state, f'{state}key = "env:CANARY_STATE_KEY"\n')
        self.daemon.write(self.config())

    def config(self) -> str:
        """Three accounts, a dozen tickets each, a hook that fails."""
        kinds = {
            "gateway": (
                "partner", self.cloud.partner_authority, credentials.PARTNER_CLIENT_ID, '"env:CANARY_CLIENT"',
                'allow_id_token = ["uid:0"]', "",
            ),
            "direct": ("b2c", self.cloud.b2c_authority(), credentials.B2C_PUBLIC_CLIENT_ID, "", "", ""),
            "office": (
                "oidc", self.cloud.oidc_authority, credentials.OIDC_CONFIDENTIAL_CLIENT_ID, '"env:CANARY_OFFICE"', "",
                'token = "access_token"\nscheme = "Bearer"',
            ),
        }  # fmt: skip
        text = f'[hooks]\ncommand = ["{self.hook}"]\n'
        for name, (provider, authority, client, secret, more, api) in kinds.items():
            text += f"""
[accounts.{name}]
provider = "{provider}"
authority = "{authority}"
client_id = "{client}"
{f"client_secret = {secret}" if secret else ""}
redirect_uri = "{credentials.REDIRECT_URI}"
ca_file = "{self.cloud.ca_file}"
{more}
[accounts.{name}.api]
base_url = "{self.cloud.api_base_url}"
subscription_key = "file:{self.key_file}"
daily_quota = 0
{api}
"""
            for number in range(TICKETS):
                publish = f'publish = {{ path = "{self.directory}/hook/{name}.jwt" }}' if number == 0 else ""
                text += f"""
[tickets.{name}-{number}]
account = "{name}"
plant_id = "{credentials.PLANT_ID}"
device_id = "{credentials.DEVICE_ID}"
warm = "on-demand"
{publish}
"""
        return text

    def problem(self, method: str, path: str, body: object = None, **headers: str) -> None:
        """Ask for something, and keep the problem that comes back."""
        try:
            content = b"" if body is None else json.dumps(body).encode()
            answer = self.daemon.client.call(Request(method, path, headers=headers, body=content, patience_seconds=30))
        except Problem as problem:
            self.told.append(json.dumps(problem.document))
        else:
            self.told.append(json.dumps({k: v for k, v in answer.items() if k not in VENDED}))

    def vend(self, name: str, wait: int | None = None) -> None:
        """Ask for a ticket; what comes is a canary, or a problem."""
        try:
            self.canaries.add("ticket", self.daemon.client.ticket(name, wait=wait).value)
        except Problem as problem:
            self.told.append(json.dumps(problem.document))

    def login(self, name: str) -> str:
        """Begin a login; the redirect that the browser would land on."""
        begun = self.daemon.client.login(name)
        self.canaries.add_url(begun["authorization_url"])
        landed = follow_login(begun["authorization_url"], self.cloud.ca_file)
        self.canaries.add_url(landed)
        return landed

    def complete(self, name: str, response: str) -> None:
        self.problem("POST", f"/v1/accounts/{name}/login/complete", {"response": response})

    def run(self, *words: str, stdin: str = "", status: int | None = 0) -> None:
        """A command of the broker's, whose words are kept."""
        command = [sys.executable, "-m", "broker", *words]
        socket, code = str(self.daemon.socket_path), str(self.package)
        environ = {**self.daemon.environ, "ELIOT_BROKER_SOCKET": socket, "PYTHONPATH": code}
        done = subprocess.run(
            command,
            input=stdin,
            env=environ,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert status in {None, done.returncode}, done.stderr
        self.told.append(done.stdout + done.stderr)

    def heard(self) -> dict[str, bytes]:
        """Every place that somebody could look at."""
        published = list(self.directory.glob("**/*.jwt"))
        places = files_below(self.directory, [self.key_file, *published])
        return places | self.shown | {"answers and commands": "\n".join(self.told).encode()}


VENDED = {"ticket", "id_token", "authorization_url"}
