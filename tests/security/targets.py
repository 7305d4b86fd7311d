"""What is fuzzed: functions that take any bytes and may end in a value or in one of our own refusals, nothing else.

Shared by hypothesis (make test) and by the byte-level fuzzer (make soak). The one invariant: a target raises for a
defect only; SECRET stands in what it was given, and in nothing that it says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from broker.adapters.disk import RealDisk
from broker.adapters.redaction import redacted, valueless
from broker.adapters.state_key import StateKey
from broker.adapters.store import SealedStore
from broker.adapters.store_bundle import open_bundle
from broker.api.limits import Limits
from broker.api.parameters import bare_type, check_origin, newest_known, refused_generation, vend_query
from broker.api.problems import render
from broker.api.unit import UnitFinder, unit_of_cgroup
from broker.config.file import read_config
from broker.core.access import AccessPolicy, Action, Peer, matches
from broker.core.answer import HttpAnswer
from broker.core.callin import read_lifetime, read_ticket
from broker.core.redirect import check_state, parameters
from broker.core.secret import Secret
from broker.core.tokens import PendingLogin
from broker.core.verdict import login_rejection, read_tokens
from broker.errors import BrokerError
from broker.services.documents import decode_session, read
from tests.api.conftest import serving
from tests.services.fakes import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s3cr3t-Canary-0f1e2d3c4b5a6978"
PENDING = PendingLogin("https://login.example/", "http://localhost/cb", Secret("state-of-ours"), nonce=Secret("n"))
ANSWER_HEADERS = {"content-type": "application/json", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}
HEADER = re.compile(rb"(?m)^\s*\[.*$")  # of a TOML table: the name that its owner gave is told, whatever it is
KEY = StateKey.from_secret(Secret("k" * 44), "test")


def refusals(target: Callable[[bytes], object], data: bytes) -> None:
    """Run a target; a refusal of ours is fine where it says no secret and makes a whole problem document."""
    try:
        target(data)
    except BrokerError as error:
        told = f"{error} {error.hint} {render(error)[2].decode()}"
        assert SECRET not in told, told


def pasted_redirect(data: bytes) -> None:
    found = parameters(Secret(data.decode("utf-8", "surrogateescape")))
    login_rejection(found)
    check_state(found, PENDING)


def token_answer(data: bytes) -> None:
    for status in (200, 400, 503):
        try:
            read_tokens(HttpAnswer(status, ANSWER_HEADERS, data), service="token endpoint")
        except BrokerError as error:
            assert SECRET not in str(error)


def ticket_answer(data: bytes) -> None:
    for status in (200, 401, 403, 429):
        answer = HttpAnswer(status, ANSWER_HEADERS, data)
        try:
            read_ticket(answer, plant_id="p")
            read_lifetime(data.decode("latin-1"))
        except BrokerError as error:
            assert SECRET not in str(error)


def session_document(data: bytes) -> None:
    store = MemoryStore()
    store.documents["account-home"] = data
    read(store, "account-home", decode_session)


def state_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store = SealedStore(directory, RealDisk(), KEY)
        store.save("account-home", b'{"version":1}')
        path = next(directory.glob("*.sealed"))
        content = bytearray(path.read_bytes())
        for number, byte in enumerate(data[:512]):
            content[(number * 257 + byte) % len(content)] ^= byte
        path.write_bytes(bytes(content) if data[:1] < b"\x80" else data)
        loaded = SealedStore(directory, RealDisk(), KEY).load("account-home")
        assert loaded in {None, b'{"version":1}'}, "a damaged copy is never taken for a whole one"


def bundle(data: bytes) -> None:
    if data[4:5] > b"\x0a":
        data = data[:4] + b"\x01" + data[5:]  # not to spend minutes on scrypt
    try:
        open_bundle(data, Secret("a passphrase"))
    except Exception as error:  # noqa: BLE001  # the caller's list of what damaged bundles raise, held here
        assert type(error).__name__ in {"InvalidTag", "ValueError", "error", "UnicodeDecodeError"}, repr(error)


def configuration(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "broker.toml")
        file.write_bytes(HEADER.sub(lambda found: found[0].replace(SECRET.encode(), b"name"), data))
        read_config(file, {"HOME": name}, user_id=1000)


def request_parts(data: bytes) -> None:
    text = data.decode("latin-1")
    for part in (vend_query, newest_known, refused_generation, bare_type):
        try:
            part(text)
        except BrokerError as error:
            assert SECRET not in str(error)
    check_origin([text], target="/", has_origin=False)
    check_origin(["localhost"], target=text, has_origin=False)


def peer_policy(data: bytes) -> None:
    """Whatever a rule says, a peer of whom nothing is known but an id is let in by that very id alone."""
    text = data.decode("utf-8", "replace")
    rules = tuple(text.split("\n"))
    nobody = Peer(uid=4_000_000_007, gid=4_000_000_008, pid=None)
    policy = AccessPolicy(own_uid=1, admins=rules, tickets={"door": rules}, id_tokens={"home": rules})
    named = any(rule in {"uid:4000000007", "gid:4000000008"} for rule in rules)
    for action, name in ((Action.VEND, "door"), (Action.READ_ID_TOKEN, "home"), (Action.ADMINISTER, "home")):
        assert policy.allows(action, name, nobody) is named
    known = Peer(1000, 1000, 7, user=text, group_names=frozenset(rules), unit=text)
    for rule in rules:
        matches(rule, known)


def raw_request(data: bytes) -> None:
    """A whole connection to a live listener: what comes back is HTTP or nothing, and nothing of ours broke."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        answer, bugs = asyncio.run(_converse(Path(name), data))
    assert not bugs, bugs
    assert not answer or answer.startswith(b"HTTP/"), answer
    assert b"Traceback" not in answer
    assert SECRET.encode() not in answer, answer


async def _converse(directory: Path, data: bytes) -> tuple[bytes, list[BaseException]]:
    async with serving(directory, Limits(header_seconds=0.2, body_seconds=0.2, tick_seconds=0.05)) as broker:
        with contextlib.suppress(ConnectionError):
            return await broker.raw(data, half_close=True), broker.bugs
        return b"", broker.bugs


def process_files(data: bytes) -> None:
    """/proc and cgroup paths are written by others: no answer, or a unit's name."""
    unit = unit_of_cgroup(data.decode("utf-8", "surrogateescape"))
    assert unit is None or "/" not in unit
    with tempfile.TemporaryDirectory() as name:
        process = Path(name, "7")
        process.mkdir()
        for file in ("cgroup", "stat", "status"):
            (process / file).write_bytes(data)
        UnitFinder(Path(name), Path(name)).by_start_time(7, 1000, 1.0)


def log_text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    redacted(text)
    assert SECRET not in valueless(f"{text} {SECRET}")


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        pasted_redirect, token_answer, ticket_answer, session_document, state_file, bundle, configuration,
        request_parts, raw_request, peer_policy, process_files, log_text,
    )
}  # fmt: skip

FOUND = (  # by the fuzzer, and looked at: tried first, for ever
    ("raw_request", b"GET /v1/ts/front-door?min_valid.1\r\nHost: localhost\r\n\r\n"),  # answered as HTTP/0.9
    ("configuration", f"[tickets.door]\naccoun{SECRET}t = 'home'\n".encode()),  # a secret on the wrong side of the =
)
SEEDS: tuple[bytes, ...] = (
    f"http://localhost:8400/callback?code={SECRET}&state=state-of-ours".encode(),
    f"error=access_denied&error_description=AADB2C90091%3A+{SECRET}&state=x".encode(),
    json.dumps(
        {"id_token": f"eyJhbGciOiJub25lIn0.e30.{SECRET}", "refresh_token": SECRET, "expires_in": "3600"}
    ).encode(),
    json.dumps({"error": "invalid_grant", "error_description": f"AADB2C90080: {SECRET}\r\nCorrelation ID: 1"}).encode(),
    json.dumps({"audiovideounits": [{"ticket": SECRET, "sender": {"plant": {"id": "p"}}}]}).encode(),
    json.dumps(
        {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 07:01:20."}
    ).encode(),
    b'[accounts.home]\nprovider = "partner"\nclient_id = "x"\n[tickets.door]\naccount = "home"\nallow = ["user:a"]\n',
    f"GET /v1/tickets/front-door?min_validity=1 HTTP/1.1\r\nHost: localhost\r\nX: {SECRET}\r\n\r\n".encode(),
    b'POST /v1/tickets/front-door/refresh HTTP/1.1\r\nHost: localhost\r\nIf-Match: "7"\r\n\r\n',
    (
        b"POST /v1/accounts/home/login/complete HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'12\r\n{"response": "x=1"}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
    ),
    b"min_validity=60&wait=10",
    b'W/"7", "8"',
    b"application/jwt;q=0.5, text/plain",
    b"user:alice\nuid:4000000007\nunit:a.service",
    b"0::/system.slice/a.service\n",
    b"7 (a) b) S " + b" ".join(b"%d" % number for number in range(4, 53)),
    b"Name:\ta\nUid:\t0\t1000\t0\t0\n",
)
