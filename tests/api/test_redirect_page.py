"""The redirect page over real loopback TCP: who may ask, what is shown, and that nothing shown is markup."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from broker.api.redirect_page import MAX_CONNECTIONS, RedirectListener
from broker.errors import BrokerError, ConfigError, LoginRejected, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.core.secret import Secret

QUERY = "code=c-1&state=s-1"


class Login:
    """What the service would do with a redirect."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.outcome: str | Exception = "home"
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.stop_within: RedirectListener | None = None

    async def __call__(self, response: Secret) -> str:
        self.taken.append(response.reveal())
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.stop_within is not None:
            await self.stop_within.stop()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@asynccontextmanager
async def awaiting(login: Login) -> AsyncIterator[RedirectListener]:
    listener = RedirectListener("127.0.0.1:0", frozenset({"/callback"}), login)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def ask(
    port: int, target: str, headers: str | None = None, method: str = "GET", address: str = "127.0.0.1"
) -> str:
    reader, writer = await asyncio.open_connection(address, port)
    host = f"Host: localhost:{port}\r\n" if headers is None else headers.replace("PORT", str(port))
    writer.write(f"{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_a_redirect_is_handed_on_whole_and_the_page_names_the_account() -> None:
    login = Login()
    login.outcome = "home (<b>Anna</b>)"
    async with awaiting(login) as listener:
        answer = await ask(listener.port, f"/callback?{QUERY}")
        assert login.taken == [f"http://localhost:{listener.port}/callback?{QUERY}"]
    assert answer.startswith("HTTP/1.1 200 ")
    assert "Account home (&lt;b&gt;Anna&lt;/b&gt;) is logged in" in answer
    assert "c-1" not in answer
    for header in (
        "Content-Security-Policy: default-src 'none'; style-src 'sha256-",
        "Referrer-Policy: no-referrer",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
    ):
        assert header in answer


async def test_a_short_address_leads_to_where_the_login_begins_and_no_other_does() -> None:
    login = Login()
    async with awaiting(login) as listener:
        listener.begins = {"/aB3-_5fG7h1J": "https://login.example/authorize?state=s-1"}
        answer = await ask(listener.port, "/aB3-_5fG7h1J")
        assert answer.startswith("HTTP/1.1 302 ")
        assert "\r\nLocation: https://login.example/authorize?state=s-1\r\n" in answer
        assert "\r\nCache-Control: no-store\r\n" in answer
        assert "s-1" not in answer.partition("\r\n\r\n")[2]
        for target in ("/", "/go", "/aB3-_5fG7h1j", "/aB3-_5fG7h1J/", "//login.example/aB3-_5fG7h1J"):
            assert "Location" not in await ask(listener.port, target), target
        foreign = await ask(listener.port, "/aB3-_5fG7h1J", "Host: rebound.example:PORT\r\n")
        assert foreign.startswith("HTTP/1.1 403 ")
        posted = await ask(listener.port, "/aB3-_5fG7h1J", method="POST")
        assert posted.startswith("HTTP/1.1 405 ")
        listener.begins = {}
        assert (await ask(listener.port, "/aB3-_5fG7h1J")).startswith("HTTP/1.1 404 ")
    assert login.taken == []


async def test_a_second_arrival_of_the_same_redirect_is_told_so_and_harms_nothing() -> None:
    login = Login()
    async with awaiting(login) as listener:
        await ask(listener.port, f"/callback?{QUERY}")
        answer = await ask(listener.port, f"/callback?{QUERY}")
    assert answer.startswith("HTTP/1.1 200 ")
    assert "Already used" in answer
    assert len(login.taken) == 1


async def test_two_arrivals_at_once_are_one_login() -> None:
    login = Login()
    login.gate = asyncio.Event()
    async with awaiting(login) as listener:
        first = asyncio.get_running_loop().create_task(ask(listener.port, f"/callback?{QUERY}"))
        await login.entered.wait()
        second = asyncio.get_running_loop().create_task(ask(listener.port, f"/callback?{QUERY}"))
        await asyncio.wait({second}, timeout=0.05)
        login.gate.set()
        assert "is logged in" in await first
        assert "is logged in" in await second
    assert len(login.taken) == 1


async def test_a_login_goes_on_when_the_tab_is_closed() -> None:
    login = Login()
    login.gate = asyncio.Event()
    async with awaiting(login) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(f"GET /callback?{QUERY} HTTP/1.1\r\nHost: localhost:{listener.port}\r\n\r\n".encode())
        await login.entered.wait()
        writer.close()
        await writer.wait_closed()
        login.gate.set()
        while "Already used" not in await ask(listener.port, f"/callback?{QUERY}"):
            pass
    assert len(login.taken) == 1


HOSTILE = "javascript:alert(1) <script>x</script> \"' https://evil.example/"


@pytest.mark.parametrize(
    ("error", "status", "next_step"),
    [
        (LoginRejected(f"login refused: {HOSTILE}", hint=HOSTILE), 400, "Or begin the login again"),
        (UpstreamUnavailable("the provider is silent", service="token"), 503, "Reload this page"),
        (ConfigError("the client secret is wrong"), 502, "Correct what is said above"),
        (ZeroDivisionError("secret detail"), 500, "Please report it"),
    ],
)
async def test_a_failure_is_told_as_text_with_the_next_step(error: Exception, status: int, next_step: str) -> None:
    login = Login()
    login.outcome = error
    bugs: list[BaseException] = []
    listener = RedirectListener("127.0.0.1:0", frozenset({"/callback"}), login, on_bug=bugs.append)
    await listener.start()
    answer = await ask(listener.port, "/callback?error=access_denied")
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert next_step in answer
    for markup in ("<script", "<a ", "href", "secret detail"):
        assert markup not in answer
    login.outcome = "home"
    assert "is logged in" in await ask(listener.port, "/callback?error=access_denied")
    await listener.stop()
    assert bugs == ([] if isinstance(error, BrokerError) else [error])


@pytest.mark.parametrize(
    ("target", "headers", "method", "status"),
    [
        (f"/callback?{QUERY}", "Host: evil.example:PORT\r\n", "GET", 403),
        (f"/callback?{QUERY}", "Host: localhost\r\n", "GET", 403),
        (f"/callback?{QUERY}", "Host: localhost:1\r\n", "GET", 403),
        (f"/callback?{QUERY}", "Host: localhost.evil.example:PORT\r\n", "GET", 403),
        (f"/callback?{QUERY}", "", "GET", 400),
        (f"/callback?{QUERY}", "Host: localhost:PORT\r\nOrigin: https://evil.example\r\n", "GET", 403),
        (f"/callback?{QUERY}", None, "POST", 405),
        (f"/callback?{QUERY}", None, "HEAD", 405),
        ("/callback", None, "GET", 400),
        ("/callback/?code=1", None, "GET", 404),
        ("/favicon.ico", None, "GET", 404),
        ("/", None, "GET", 404),
        ("/callback?code=" + "a" * 20_000, None, "GET", 400),
    ],
)
async def test_what_is_no_redirect_of_ours_is_refused(
    target: str, headers: str | None, method: str, status: int
) -> None:
    login = Login()
    async with awaiting(login) as listener:
        answer = await ask(listener.port, target, headers, method)
    assert answer.split(" ")[1] == str(status)
    assert login.taken == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
async def test_every_name_of_this_machine_is_taken(host: str) -> None:
    login = Login()
    async with awaiting(login) as listener:
        assert "is logged in" in await ask(listener.port, f"/callback?{QUERY}", f"Host: {host}:PORT\r\n")


async def test_it_may_be_stopped_by_the_login_itself_and_the_page_is_still_shown() -> None:
    login = Login()
    async with awaiting(login) as listener:
        login.stop_within = listener
        assert "is logged in" in await ask(listener.port, f"/callback?{QUERY}")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", listener.port)


async def test_a_stop_closes_the_tabs_that_wait_for_nothing() -> None:
    async with awaiting(Login()) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await ask(listener.port, "/")
        await listener.stop()
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_whoever_holds_every_connection_does_not_keep_the_browser_out() -> None:
    async with awaiting(Login()) as listener:
        held = [(await asyncio.open_connection("127.0.0.1", listener.port))[1] for _ in range(2 * MAX_CONNECTIONS)]
        for number, each in enumerate(held):
            each.write(b"GET /callback?code=c HTTP/1.1\r\nHo"[: number % 30])
        assert "is logged in" in await ask(listener.port, f"/callback?{QUERY}")
        for each in held:
            each.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("listen", "other"), [("127.0.0.1:0", "::1"), ("[::1]:0", "127.0.0.1"), ("localhost:0", "::1")]
)
async def test_the_other_address_of_this_machine_is_ours_too(listen: str, other: str) -> None:
    listener = RedirectListener(listen, frozenset({"/callback"}), Login())
    await listener.start()
    assert "is logged in" in await ask(listener.port, f"/callback?{QUERY}", address=other)
    await listener.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(other, listener.port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_a_stranger_at_the_other_address_is_told_of_instead_of_being_handed_the_code() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as stranger:
        listener = RedirectListener(f"127.0.0.1:{stranger.getsockname()[1]}", frozenset({"/callback"}), Login())
        with pytest.raises(ConfigError, match="cannot be taken here"):
            await listener.start()


async def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        listener = RedirectListener(f"127.0.0.1:{port}", frozenset({"/callback"}), Login())
        with pytest.raises(ConfigError, match="cannot be taken here") as caught:
            await listener.start()
        assert caught.value.hint is not None
        assert "--paste" in caught.value.hint
        await listener.stop()
