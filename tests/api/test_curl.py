"""curl is a whole client, and the kernel's word about another user is what the rules are held against."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Broker

CURL = shutil.which("curl")
pytestmark = [
    pytest.mark.skipif(CURL is None, reason="needs curl"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else"),
]
OTHER_UID, OTHER_GID, OTHER_GROUP = 54321, 54322, 54323


async def curl(broker: Broker, *arguments: str, **identity: Any) -> str:
    """What curl prints: the body, then the status."""
    assert CURL is not None
    process = await asyncio.create_subprocess_exec(
        CURL, "-sS", "-w", " %{http_code}", "--unix-socket", str(broker.path), *arguments,
        stdout=asyncio.subprocess.PIPE, cwd="/", **identity,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode()


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ((f"uid:{OTHER_UID}",), "200"),
        ((f"gid:{OTHER_GID}",), "200"),
        ((f"gid:{OTHER_GROUP}",), "200"),
        (("uid:0",), "403"),
        (("gid:0",), "403"),
        (("user:root", "group:root"), "403"),
        (("unit:sip-gateway.service",), "403"),
    ],
)
async def test_another_user_is_held_against_the_rules(broker: Broker, rules: tuple[str, ...], status: str) -> None:
    broker.path.parent.chmod(0o755)
    broker.path.chmod(0o666)
    broker.backend.policy = replace(broker.backend.policy, tickets={"front-door": rules})
    someone = {"user": OTHER_UID, "group": OTHER_GID, "extra_groups": [OTHER_GROUP]}
    answer = await curl(broker, "-HAccept: text/plain", "http://localhost/v1/tickets/front-door", **someone)
    assert answer.endswith(f" {status}")
    assert answer.startswith("ticket-front-door-7") == (status == "200")
    told = broker.events.of("ticket.served" if status == "200" else "request.refused")
    assert [facts["uid"] for facts in told] == [OTHER_UID]


async def test_curl_posts_a_login_and_waits_for_no_continue(broker: Broker) -> None:
    body = '{"response": "%s"}' % ("c" * 9000)  # JSON has braces of its own
    answer = await curl(broker, "-d", body, "http://eliot-broker/v1/accounts/home/login/complete")
    assert answer == '{"name": "home", "state": "logged_in"} 200'
