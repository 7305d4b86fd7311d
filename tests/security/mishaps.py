"""What goes wrong in the world of the canary tests: every failure path of logins, refreshes, calls and reloads.

Each function drives one kind of failure for one account. The one invariant: a failure that the daemon did not meet
fails the test that counted on it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from broker.client.wire import Request
from broker.sandbox import CAPTIVE_PORTAL, Fault
from tests.security.canaries import proc_of
from tests.security.world import TICKETS, canary

if TYPE_CHECKING:
    from tests.security.world import World


def everything_fails(world: World, *accounts: str) -> None:
    """Everything below, and at every stage every object tells itself."""
    for name in accounts:
        logins_fail(world, name)
        world.daemon.confess()
        refreshes_fail(world, name)
        calls_fail(world, name)
        if name == "gateway" and world.daemon.client.account(name)["state"] == "logged_in":
            world.canaries.add("id token", world.daemon.client.id_token(name).value)
        world.login(name)
        world.daemon.confess()
    reloads_fail(world)
    everything_is_looked_at(world)
    assert world.daemon.process is not None
    world.shown = proc_of(world.daemon.process.pid)


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
    world.vend(f"{name}-{TICKETS - 1}")
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
