"""A canary of each kind through every failure path, at every log level: none sings where it must not be heard."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from broker.client import Problem
from broker.client.wire import Request
from broker.sandbox import CAPTIVE_PORTAL, CloudThread, Fault, Options, credentials, follow_login
from tests.e2e.daemon import ROOT, Daemon, secret_file
from tests.e2e.waiting import until
from tests.security.canaries import Canaries, files_below, listen_in, proc_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud

pytestmark = pytest.mark.slow

ACCOUNTS = ("gateway", "direct", "office")
KINDS = (
    "client secret", "subscription key", "refresh token", "id token", "access token", "code", "code_verifier",
    "nonce", "state", "ticket", "state key", "passphrase",
)  # fmt: skip
HOOK = """#!/bin/sh
env >> "{log}"
exit 3
"""


def canary(kind: str) -> str:
    """A value that nothing else can be mistaken for, and that no pattern of the redaction is made for."""
    return f"canary.{kind.replace(' ', '.')}.{secrets.token_hex(8)}"


@dataclass
class World:
    """A cloud that tells its secrets, a daemon with all three ways to sign in, and all that anybody was told."""

    directory: Path
    cloud: Cloud
    level: str
    canaries: Canaries = field(default_factory=Canaries)
    told: list[str] = field(default_factory=list)

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
        self.daemon = Daemon(
            self.directory,
            self.config(),
            log_level=self.level,
            environ={
                "CANARY_CLIENT": self.client_secret,
                "CANARY_OFFICE": self.office_secret,
                "CANARY_STATE_KEY": self.state_key,
            },
        )
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
            for number in range(len(CALL_IN_FAULTS) + 2):
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
        environ = {**self.daemon.environ, "ELIOT_BROKER_SOCKET": str(self.daemon.socket_path)}
        done = subprocess.run(
            command, input=stdin, env=environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert status in {None, done.returncode}, done.stderr
        self.told.append(done.stdout + done.stderr)

    def heard(self) -> dict[str, bytes]:
        """Every place that somebody could look at."""
        published = list(self.directory.glob("**/*.jwt"))
        places = files_below(self.directory, [self.key_file, *published])
        return places | {"answers and commands": "\n".join(self.told).encode()}


VENDED = {"ticket", "id_token", "authorization_url"}


def token_faults(world: World) -> list[Fault]:
    """What a token endpoint, or whoever stands before it, may answer; some repeat what they were sent."""
    seen = {kind: min(world.canaries.values[kind]) for kind in ("refresh token", "code", "client secret")}
    words = f"rt {seen['refresh token']} code={seen['code']} secret {seen['client secret']} bad"
    as_json = {"content-type": "application/json"}
    return [
        CAPTIVE_PORTAL,
        Fault(500, "{"),
        Fault(502, words),
        Fault(200, json.dumps({"refresh_token": seen["refresh token"]}), as_json),
        Fault(200, json.dumps({"id_token": f"eyJhbGciOiJub25lIn0.e30.{seen['code']}"}), as_json),
        Fault(302, words, {"location": f"https://evil.example/?rt={seen['refresh token']}"}),
        Fault(400, json.dumps({"error": "temporarily_unavailable", "error_description": words}), as_json),
        Fault(400, json.dumps({"error": words, "error_description": words}), as_json),
        Fault(reset="before_reading"),
        Fault(429, words, {"retry-after": "0"}),
    ]


CALL_IN_FAULTS: tuple[tuple[int, str], ...] = (
    (400, "bad parameter {key}"),
    (401, "token {token} refused"),
    (404, "no gateway for {token}"),
    (500, "{token}"),
    (200, '{{"ticket": "{token}"}}'),
    (200, '{{"audiovideounits": [{{"ticket": "{token} {key}"}}]}}'),
    (302, "{key}"),
)
LAST_FAULT = {  # each stops all calls of its account
    "gateway": (401, "Access denied due to invalid subscription key. {key} Make sure"),
    "direct": (469, "password of {token}"),
    "office": (403, "Out of call volume quota. {key} {token} Quota will be replenished in 01:00:01."),
}


def call_in_fault(world: World, status: int, words: str) -> Fault:
    token = min(world.canaries.values["id token"])
    text = words.format(key=world.key, token=token)
    body = text if status == 200 else json.dumps({"statusCode": status, "message": text})
    return Fault(status, body, {"content-type": "application/json", "location": f"https://evil.example/{world.key}"})


def logins_fail(world: World, name: str) -> None:
    """Every way in which a login goes wrong, then one that goes right, and its code a second time."""
    landed = world.login(name)
    for response in (
        landed.replace("state=", "state=x"),
        landed.replace("code=", "cod="),
        landed.split("&state=")[0],
        landed + "&code=again",
        landed.replace("?", "?error=access_denied&error_description=javascript:alert(1)&"),
        " ".join(landed.split("=")),
        landed.replace("localhost", "[bad"),
    ):
        world.complete(name, response)
    for body in (landed, [landed], {"response": [landed]}, {landed: landed}):
        world.problem("POST", f"/v1/accounts/{name}/login/complete", body)
    world.problem("GET", f"/v1/tickets/{name}-0?code={landed}", Authorization=f"Bearer {landed}")
    world.cloud.script.add("token", Fault(500, landed))
    world.complete(name, landed)
    world.cloud.script.add("keys", Fault(500, landed))
    landed = world.login(name)
    world.complete(name, landed)
    world.complete(name, landed)
    if world.daemon.client.account(name)["state"] != "logged_in":
        world.complete(name, world.login(name))


def refreshes_fail(world: World, name: str) -> None:
    for fault in token_faults(world):
        world.cloud.script.add("token", fault)
        world.problem("POST", f"/v1/accounts/{name}/refresh")
        assert not world.cloud.script.pending("token"), f"{name} did not meet {fault}"
    world.problem("POST", f"/v1/accounts/{name}/refresh")


def calls_fail(world: World, name: str) -> None:
    world.vend(f"{name}-{len(CALL_IN_FAULTS) + 1}")
    for number, (status, words) in enumerate((*CALL_IN_FAULTS, LAST_FAULT[name])):
        world.cloud.script.add("call_in", call_in_fault(world, status, words))
        world.vend(f"{name}-{number}")
        if world.cloud.script.pending("call_in"):  # the failure before it is one of the whole account
            world.vend(f"{name}-{number}", wait=4)
        assert not world.cloud.script.pending("call_in"), f"{name} did not meet {status}"


def reloads_fail(world: World) -> None:
    """Secrets pasted where none may stand; a cloud that is not trusted; then all is well again."""
    good = world.config()
    for wrong in (
        good.replace('"env:CANARY_CLIENT"', f'"{world.client_secret}"'),
        good.replace(f'"file:{world.key_file}"', f'"{world.key}"'),
        good + f'\n[accounts.gateway.oauth]\nissuer = "{world.key}"\n{world.client_secret} = 1\n',
        good + f"\n[log]\nlevel = '{world.key}'\n",
        f"[accounts.x]\nclient_secret = '{world.client_secret}",
    ):
        world.daemon.write(wrong)
        world.problem("POST", "/v1/reload")
        world.run("config", "check", "--config", str(world.daemon.config), status=None)
        world.run("config", "show", "--config", str(world.daemon.config), status=None)
    world.daemon.write(good)
    world.problem("POST", "/v1/reload")


def everything_is_looked_at(world: World) -> None:
    client = world.daemon.client
    world.told += [json.dumps(answer) for answer in (client.status(), client.accounts(), client.tickets())]
    for path in ("/metrics", "/readyz", "/healthz", "/openapi.json"):
        world.told.append(client.exchange(Request("GET", path)).take().decode())
    config = ("--config", str(world.daemon.config))
    for words in (["status"], ["status", "--json"], ["why", "gateway-1"], ["why", "office-2", "--json"]):
        world.run(*words, status=None)
    world.run("bugreport", *config, status=None)
    world.run("doctor", *config, status=None)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with CloudThread(Options()) as started:
        yield started


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_no_secret_is_heard_whatever_fails(cloud: Cloud, tmp_path: Path, level: str) -> None:
    world = World(tmp_path, cloud, level)
    with world.daemon as daemon:
        assert daemon.process is not None
        for name in ACCOUNTS:
            logins_fail(world, name)
            refreshes_fail(world, name)
            calls_fail(world, name)
            if world.daemon.client.account(name)["state"] == "logged_in" and name == "gateway":
                world.canaries.add("id token", daemon.client.id_token(name).value)
        reloads_fail(world)
        everything_is_looked_at(world)
        shown = proc_of(daemon.process.pid)
        if level == "debug":
            cloud.revoke()
            for name in ACCOUNTS:
                world.problem("POST", f"/v1/accounts/{name}/refresh")
        daemon.stop(signal.SIGABRT if level == "debug" else signal.SIGTERM)
    if level == "info":
        the_state_travels(world)
    world.canaries.at_work(*KINDS)
    places = world.heard() | shown
    assert world.canaries.found_in(places) == []
    assert b"eyJ" not in places["stderr.log"], "no JWT in the log, whoever made it"
    assert b"BROKER_EVENT" in places["hook.log"], "the hook was told of something"
    assert (b"hook.failed" in places["stderr.log"]) == (level in {"debug", "info", "warning"})
    if level == "debug":
        assert b"Current thread" in places["stderr.log"], "a crash in C shows its frames"


def the_state_travels(world: World) -> None:
    """Export, a wrong passphrase, import, a wrong state key, a damaged file: the daemon being stopped."""
    config, bundle = ("--config", str(world.daemon.config)), world.directory / "gateway.bundle"
    world.run("state", "export", "gateway", str(bundle), *config, stdin=world.passphrase + "\n")
    world.run("state", "import", str(bundle), *config, stdin=f"not {world.passphrase}\n", status=None)
    world.run("state", "import", str(bundle), *config, stdin=world.passphrase + "\n")
    sealed = next((world.directory / "state").glob("*gateway*"))
    content = sealed.read_bytes()
    right = world.daemon.environ
    world.daemon.environ = {**right, "CANARY_STATE_KEY": canary("other") * 2}
    world.daemon.start().wait_up()
    world.problem("POST", "/v1/accounts/gateway/refresh")
    world.daemon.stop()
    world.daemon.environ = right
    sealed.write_bytes(os.urandom(len(content)))
    world.daemon.start().wait_up()
    world.problem("POST", "/v1/accounts/gateway/refresh")
    world.daemon.stop()


CRASHES = """
import sys
from pathlib import Path
from broker import assembly
from broker.daemon import serve

class Provider:
    def __init__(self, provider): self.provider = provider
    def __getattr__(self, name): return getattr(self.provider, name)
    def refresh(self, refresh_token, *words, **more):
        raise KeyError(refresh_token.reveal())

def make_cloud(config, clock):
    cloud = assembly.real_cloud(config, clock)
    from dataclasses import replace
    return replace(cloud, provider=Provider(cloud.provider))

sys.exit(serve(Path(sys.argv[1]), assembly.Parts(make_cloud=make_cloud)))
"""


def test_a_bug_with_a_secret_in_its_hand_ends_loudly_and_tells_no_secret(cloud: Cloud, tmp_path: Path) -> None:
    world = World(tmp_path, cloud, "debug")
    world.cloud.options.change(id_token_seconds=5)
    with world.daemon as daemon:
        world.complete("gateway", world.login("gateway"))
        daemon.stop()
    with (tmp_path / "crash.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CRASHES, str(daemon.config)], env=daemon.environ, cwd=ROOT, stdout=log, stderr=log
        )
    log_text = (tmp_path / "crash.log").read_text
    try:
        until(lambda: "KeyError" in log_text() or process.poll() is not None, seconds=20, what=log_text)
        until(lambda: process.poll() is not None, seconds=20, what=log_text)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert process.returncode == 1, log_text()
    told = [json.loads(line) for line in log_text().splitlines()]
    (crash,) = [fact for fact in told if fact["event"] == "service.crashed"]
    assert "KeyError" in crash["traceback"]
    assert "in refresh" in crash["traceback"]
    world.canaries.at_work("refresh token")
    assert world.canaries.found_in(world.heard()) == []


def test_the_search_finds_what_it_looks_for() -> None:
    canaries = Canaries()
    canaries.add("code", "a secret of some length")
    for spelled in ("a secret of some length", "a+secret+of+some+length", b"a secret of some length".hex()):
        assert canaries.found_in({"log": f"x {spelled} y".encode()}) == ["code in log"]
    assert canaries.found_in({"log": b"x YSBzZWNyZXQgb2Ygc29tZSBsZW5ndGg= y"}) == ["code in log"]
    assert canaries.found_in({"log": b"a secret"}) == []
    with pytest.raises(AssertionError, match="never seen"):
        canaries.at_work("nonce")
