"""Both clients over a real socket, each operation: what they ask, what they make of the answer."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from broker.client import AsyncClient, Client, ClientError, Problem, Unreachable

from .documents import id_token, ticket
from .fake_daemon import FakeDaemon, chunked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Operation = Callable[[Any], Any]
Runner = Callable[[Operation], Awaitable[Any]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "broker.sock") as fake:
        yield fake


class Both:
    """Runs one operation with either client."""

    def __init__(self, kind: str, path: Path, timeout_seconds: float = 5.0) -> None:
        self.kind = kind
        self.path = path
        self.timeout_seconds = timeout_seconds

    async def __call__(self, operation: Operation) -> Any:
        if self.kind == "sync":
            return await asyncio.to_thread(self._blocking, operation)
        result = operation(AsyncClient(self.path, self.timeout_seconds))
        if isinstance(result, AsyncIterator):
            return [line async for line in result]
        return await result if inspect.isawaitable(result) else result

    def _blocking(self, operation: Operation) -> Any:
        result = operation(Client(self.path, self.timeout_seconds))
        return list(result) if inspect.isgenerator(result) else result


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, daemon: FakeDaemon) -> Both:
    return Both(request.param, daemon.path)


async def test_a_ticket_is_answered_with_all_its_fields_and_a_repr_without_the_secret(
    run: Both, daemon: FakeDaemon
) -> None:
    daemon.answer("GET", "/v1/tickets/front-door?min_validity=60&wait=10", ticket())
    found = await run(lambda client: client.ticket("front-door", min_validity=60, wait=10))
    assert (found.value, found.generation, found.expires_in) == ("eyJ.secret.ticket", 7, 240)
    assert found.sender == {"plant": {"id": "plant-1"}}
    assert "secret" not in repr(found)


OPERATIONS: list[tuple[str, Operation, str, dict[str, Any]]] = [
    ("an id token", lambda c: c.id_token("home"), "GET /v1/accounts/home/id-token", id_token()),
    ("a status", lambda c: c.status(), "GET /v1/status", {"version": "1"}),
    ("an account", lambda c: c.account("home"), "GET /v1/accounts/home", {"name": "home"}),
    ("the accounts", lambda c: c.accounts(), "GET /v1/accounts", {"accounts": [{"name": "home"}]}),
    ("the tickets", lambda c: c.tickets(), "GET /v1/tickets", {"tickets": [{"name": "front-door"}]}),
    ("a login", lambda c: c.login("home"), "POST /v1/accounts/home/login", {"authorization_url": "https://x"}),
    ("a refresh", lambda c: c.refresh("home"), "POST /v1/accounts/home/refresh", {"state": "logged_in"}),
    ("a logout", lambda c: c.logout("home"), "POST /v1/accounts/home/logout", {"state": "logged_out"}),
    ("a reload", lambda c: c.reload(), "POST /v1/reload", {"changed": []}),
]


@pytest.mark.parametrize(
    ("operation", "asked", "answer"), [case[1:] for case in OPERATIONS], ids=[c[0] for c in OPERATIONS]
)
async def test_an_operation_makes_one_request_and_answers_with_its_document(
    run: Both, daemon: FakeDaemon, operation: Operation, asked: str, answer: dict[str, Any]
) -> None:
    method, target = asked.split()
    daemon.answer(method, target, answer)
    found = await run(operation)
    assert daemon.targets() == [asked]
    if isinstance(found, list):
        assert found == next(iter(answer.values()))
    elif isinstance(found, dict):
        assert found == answer
    else:
        assert found.value == "eyJ.secret.id"


async def test_the_redirect_url_travels_as_json(run: Both, daemon: FakeDaemon) -> None:
    daemon.answer("POST", "/v1/accounts/home/login/complete", {"state": "logged_in"})
    await run(lambda client: client.complete_login("home", "http://localhost:8400/callback?code=ä&state=1"))
    sent = daemon.requests[0]
    assert json.loads(sent.body) == {"response": "http://localhost:8400/callback?code=ä&state=1"}
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["host"] == "localhost"


async def test_a_refused_ticket_is_named_by_its_generation(run: Both, daemon: FakeDaemon) -> None:
    daemon.answer("POST", "/v1/tickets/front-door/refresh", ticket(generation=8))
    found = await run(lambda client: client.refuse("front-door", 7))
    assert found.generation == 8
    assert daemon.requests[0].headers["if-match"] == '"7"'


async def test_a_name_is_quoted_in_the_path(run: Both, daemon: FakeDaemon) -> None:
    with pytest.raises(Problem):
        await run(lambda client: client.ticket("a/../b c?x"))
    assert daemon.targets() == ["GET /v1/tickets/a%2F..%2Fb%20c%3Fx"]


async def test_a_problem_carries_everything_that_the_broker_said(run: Both, daemon: FakeDaemon) -> None:
    daemon.problem(
        "GET", "/v1/tickets/front-door", "short_validity", "retry", 503, retry_after=9, available_for=20, hint="less"
    )
    with pytest.raises(Problem) as caught:
        await run(lambda client: client.ticket("front-door"))
    problem = caught.value
    assert (problem.code, problem.remedy, problem.status) == ("short_validity", "retry", 503)
    assert (problem.detail, problem.retry_after, problem.available_for) == ("it is short_validity", 9, 20)
    assert problem.hint == "less"


async def test_an_error_that_is_no_document_is_an_internal_error(run: Both, daemon: FakeDaemon) -> None:
    daemon.raw("GET", "/v1/status", b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno")
    with pytest.raises(Problem, match="the broker answered 500") as caught:
        await run(lambda client: client.status())
    assert caught.value.code == "internal_error"


async def test_watch_gives_every_line_and_ends_with_end(run: Both, daemon: FakeDaemon) -> None:
    lines = [{"type": "ticket", **ticket()}, {"type": "heartbeat"}, {"type": "unavailable", "code": "quota_exhausted"}]
    encoded = [json.dumps(line).encode() + b"\n" for line in lines]
    split = encoded[0][:20], encoded[0][20:] + encoded[1], encoded[2]
    daemon.raw("GET", "/v1/tickets/front-door/watch", chunked(*split, b'{"type": "end"}\n'))
    found = await run(lambda client: client.watch("front-door"))
    assert [line.type for line in found] == ["ticket", "heartbeat", "unavailable", "end"]
    assert found[0].ticket.value == "eyJ.secret.ticket"
    assert "secret" not in repr(found[0])
    assert found[2].code == "quota_exhausted"


async def test_watch_that_breaks_off_says_so(run: Both, daemon: FakeDaemon) -> None:
    daemon.raw("GET", "/v1/tickets/front-door/watch", chunked(b'{"type": "heartbeat"}\n', end=False))
    with pytest.raises(Unreachable, match="before its answer was complete"):
        await run(lambda client: client.watch("front-door"))


async def test_a_watch_that_falls_silent_is_broken(run: Both, daemon: FakeDaemon) -> None:
    daemon.silent("GET", "/v1/tickets/front-door/watch", after=chunked(b'{"type": "heartbeat"}\n', end=False))

    def watch(client: Any) -> Any:
        client.silence_seconds = 0.1
        return client.watch("front-door")

    with pytest.raises(Unreachable, match="did not answer in time"):
        await run(watch)


async def test_watch_that_ends_without_end_says_so(run: Both, daemon: FakeDaemon) -> None:
    daemon.raw("GET", "/v1/tickets/front-door/watch", chunked(b'{"type": "heartbeat"}\n'))
    with pytest.raises(Unreachable, match="without saying that it stops"):
        await run(lambda client: client.watch("front-door"))


async def test_watch_of_what_is_not_there_is_a_problem(run: Both, daemon: FakeDaemon) -> None:
    daemon.problem("GET", "/v1/tickets/front-door/watch", "unknown_ticket", "fix", 404)
    with pytest.raises(Problem, match="unknown_ticket"):
        await run(lambda client: client.watch("front-door"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "before its answer was complete"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not a JSON object"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "not a JSON object"),
    ],
)
async def test_an_answer_that_is_none_is_unreachable(run: Both, daemon: FakeDaemon, answer: bytes, words: str) -> None:
    daemon.raw("GET", "/v1/status", answer)
    with pytest.raises(Unreachable, match=words):
        await run(lambda client: client.status())


async def test_an_answer_that_ends_with_the_connection_is_whole(run: Both, daemon: FakeDaemon) -> None:
    daemon.raw("GET", "/v1/status", b'HTTP/1.1 200 OK\r\n\r\n{"version": "1"}')
    assert await run(lambda client: client.status()) == {"version": "1"}


async def test_a_ticket_without_its_fields_is_an_error_of_the_client(run: Both, daemon: FakeDaemon) -> None:
    daemon.answer("GET", "/v1/tickets/front-door", {"name": "front-door"})
    with pytest.raises(ClientError, match="has no ticket"):
        await run(lambda client: client.ticket("front-door"))


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_silence_ends_with_the_timeout(kind: str, daemon: FakeDaemon) -> None:
    daemon.silent("GET", "/v1/status")
    with pytest.raises(Unreachable, match="did not answer in time"):
        await Both(kind, daemon.path, timeout_seconds=0.1)(lambda client: client.status())


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_place_without_a_socket_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"there is no broker's socket at .*nowhere\.sock") as caught:
        await Both(kind, tmp_path / "nowhere.sock")(lambda client: client.status())
    assert "ELIOT_BROKER_SOCKET" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_socket_that_nobody_serves_is_unreachable(kind: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "old.sock"))
    with pytest.raises(Unreachable, match="connection refused"):
        await Both(kind, tmp_path / "old.sock")(lambda client: client.status())


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_full_backlog_is_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        served = threading.Thread(target=_serve_after_a_while, args=(listener,))
        served.start()
        try:
            assert await Both(kind, path)(lambda client: client.status()) == {}
        finally:
            served.join()


def _serve_after_a_while(listener: socket.socket) -> None:
    listener.settimeout(5)  # a client that gave up must fail the test, not hang it
    threading.Event().wait(0.1)
    for wanted in (False, True):
        connection, _ = listener.accept()
        with connection:
            if wanted:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
