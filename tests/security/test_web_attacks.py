"""What a web page, or a process beside the browser, may try on a real daemon: on its socket, on its login listener."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest

from broker.api.redirect_page import MAX_CONNECTIONS
from tests.e2e.daemon import ROOT
from tests.e2e.waiting import until
from tests.security.login_port import Answer, LoginPort, code_of, state_of

pytestmark = pytest.mark.slow

PAGE_HEADERS = (
    "Content-Security-Policy: default-src 'none'; style-src 'sha256-",
    "form-action 'none'; frame-ancestors 'none'\r\n",
    "Referrer-Policy: no-referrer\r\n",
    "X-Content-Type-Options: nosniff\r\n",
    "Cache-Control: no-store\r\n",
    "Content-Type: text/html; charset=utf-8\r\n",
)
HOSTILE = (
    "javascript:alert(1) <script>alert(2)</script><img src=x onerror=alert(3)> \x1b[31mred\x1b]0;owned\x07 "
    "\u202egpj.exe\r\nLocation: https://evil.example/\r\n\r\n<h1>second</h1>" + "A" * 2000
)


# the broker's own socket


@pytest.mark.parametrize(
    "headers",
    [
        "Host: localhost\r\nOrigin: https://evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: localhost\r\nOrigin: http://localhost\r\n",
        "Host: evil.example\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: 127.0.0.1\r\n",
        "Host: localhost:8400\r\n",
    ],
)
@pytest.mark.parametrize("line", ["GET /v1/tickets/front-door", "POST /v1/accounts/home/logout", "GET /v1/status"])
def test_a_page_that_reaches_the_socket_through_a_relay_gets_nothing(
    victim: LoginPort, line: str, headers: str
) -> None:
    """As root, the broker's own user, who may do everything: only the page's headers tell."""
    answer = victim.local(f"{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
    assert answer.status == 403
    assert json.loads(answer.body)["code"] == "not_allowed"
    assert "Access-Control" not in answer.head
    assert victim.row()["state"] == "logged_in"


@pytest.mark.parametrize("where", ["http://evil.example", "http://localhost.evil.example", "http://evil.example:80"])
def test_a_foreign_name_in_the_target_itself_is_refused_like_one_in_host(victim: LoginPort, where: str) -> None:
    request = f"GET {where}/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert victim.local(request.encode()).status == 403
    victim.begin()
    here = f"localhost:{victim.port}"
    assert victim.get(f"{where}/callback?code=x&state=y", host=here).status in {403, 404}


# the login listener: who may ask


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("evil.example:{port}", ()),
        ("evil.example", ()),
        ("localhost.evil.example:{port}", ()),
        ("localhost", ()),
        ("127.0.0.1", ()),
        ("localhost:1", ()),
        ("0.0.0.0:{port}", ()),
        ("localhost:{port}", ("Origin: https://evil.example",)),
        ("localhost:{port}", ("Origin: null",)),
        ("localhost:{port}", ("Host: evil.example",)),
    ],
)
def test_a_rebound_name_or_another_pages_request_is_refused_and_the_login_goes_on(
    victim: LoginPort, host: str, more: tuple[str, ...]
) -> None:
    landed = victim.land(victim.begin())
    answer = victim.get(landed, *more, host=host.format(port=victim.port))
    assert answer.status in {400, 403}
    assert victim.pending(), "a redirect with the right state was not taken from a stranger"
    assert victim.get(landed).status == 200
    assert not victim.pending()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH", "BREW"])
def test_a_redirect_is_a_get_request_and_nothing_else(victim: LoginPort, method: str) -> None:
    landed = victim.land(victim.begin())
    answer = victim.get(landed, method=method)
    assert answer.status in {400, 405}
    assert answer.location is None
    assert victim.pending()
    assert (answer.body == "") == (method == "HEAD")


def test_it_answers_one_path_and_the_short_address(victim: LoginPort) -> None:
    begun = victim.daemon.client.login("home")
    short = begun["short_url"].removeprefix(f"http://localhost:{victim.port}")
    query = f"?code=x&state={state_of(begun['authorization_url'])}"
    for path in (
        "/", "/callback/", "/callback/..", "/Callback", "//callback", "/%63allback", "/callback%2f", "/callback%00",
        "/./callback", "/v1/status", "/v1/tickets/front-door", "/metrics", "/openapi.json", "/favicon.ico",
        f"{short}/", f"{short}/..", f"/{short}", short.swapcase(), short[:-1], "*",
    ):  # fmt: skip
        for target in (path, path + query):
            assert victim.get(target).status in {400, 404}, target
    assert victim.pending()
    assert victim.get(short).status == 302


def test_it_sends_the_browser_nowhere_but_to_the_provider(victim: LoginPort) -> None:
    begun = victim.daemon.client.login("home")
    short = begun["short_url"].removeprefix(f"http://localhost:{victim.port}")
    elsewhere = ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "%0d%0aX:%20y")
    names = ("redirect_uri", "redirect", "next", "url", "return_to", "continue", "state", "code", "error")
    for value in elsewhere:
        for target in (short + value, f"/callback{value}", f"/callback/{value}", value):
            assert victim.get(target.replace(" ", "%20")).location is None, target
        for name in names:
            assert victim.get(f"/callback?{name}={value}").location is None, (name, value)
            assert victim.get(f"{short}?{name}={value}").location == begun["authorization_url"], (name, value)
    assert victim.pending()


def test_every_answer_of_the_listener_forbids_scripts_frames_referrers_and_copies(victim: LoginPort) -> None:
    begun = victim.daemon.client.login("home")
    landed = victim.land(begun["authorization_url"])
    answers = [
        victim.get(begun["short_url"]),
        victim.get("/elsewhere"),
        victim.get("/callback"),
        victim.get("/callback?code=x&state=y"),
        victim.get("/callback", host="evil.example"),
        victim.get(landed, method="POST"),
        victim.get("/callback?code=" + "a" * 20_000),
        victim.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        victim.get(landed),
    ]
    assert [answer.status for answer in answers] == [302, 404, 400, 400, 403, 405, 400, 400, 200]
    for answer in answers:
        for header in PAGE_HEADERS:
            assert header in f"{answer.head}\r\n", answer
        assert "Access-Control" not in answer.head
        assert "Set-Cookie" not in answer.head
        for markup in ("<script", "<a ", "<form", "<img", "href", "src="):
            assert markup not in answer.body


# the login listener: when it is there


def test_a_code_of_another_login_completes_none_and_the_present_one_stays(victim: LoginPort) -> None:
    """Injected with the right state, which only who began the login has: PKCE binds the code all the same."""
    home, older = victim.land(victim.begin()), victim.land(victim.begin("office"))
    office = victim.land(victim.begin("office"))  # which makes the older one void
    for code, state in (
        (code_of(office), "x" * 43),
        (code_of(office), state_of(home) + "&state=" + state_of(office)),
        (code_of(older), state_of(older)),
        (code_of(older), state_of(office)),  # takes the login with it: its code would have been as wrong
    ):
        assert victim.get(f"/callback?code={code}&state={state}").status == 400
        assert victim.row("office")["state"] != "logged_in"
        assert victim.pending()
    assert victim.get(victim.target(code="stolen", state=state_of(office))).status == 400
    assert victim.get(home).status == 200
    assert victim.row()["state"] == "logged_in"
    victim.end_logins()


def test_it_is_there_while_a_login_is_pending_and_closed_after_it(victim: LoginPort) -> None:
    def gone() -> bool:
        return not victim.listens()

    assert gone()
    landed = victim.land(victim.begin())
    assert victim.listens()
    assert "is logged in" in victim.get(landed).body
    until(gone, seconds=30, what="closed after success")
    with pytest.raises(ConnectionRefusedError):
        victim.get(landed)
    refused = victim.target(error="access_denied", state=state_of(victim.begin()))
    assert "was cancelled" in victim.get(refused).body
    until(gone, seconds=30, what="closed after a refusal")
    victim.begin("office")
    assert victim.listens()
    victim.daemon.client.logout("office")
    until(gone, seconds=30, what="closed after a logout")
    victim.daemon.login(victim.cloud)
    assert victim.row()["state"] == "logged_in"


def test_nobody_but_this_machine_can_reach_it(victim: LoginPort) -> None:
    victim.begin()
    other = next((address for address in own_addresses() if not address.startswith("127.")), None)
    for address in filter(None, ("127.0.0.2", other)):
        with pytest.raises(ConnectionRefusedError), socket.create_connection((address, victim.port), 30):
            pass


def own_addresses() -> list[str]:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel says from which address it would be
        return [probe.getsockname()[0]]
    return []


# the login listener: who misuses it


def connected(victim: LoginPort) -> socket.socket:
    return socket.create_connection(("127.0.0.1", victim.port), 30)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"G",
        b"GET /callback?code=x HTTP/1.1\r\nHost: local",
        b"POST /callback HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_neither_slow_nor_many_connections_keep_the_browser_out_and_none_is_left(
    victim: LoginPort, beginning: bytes
) -> None:
    landed = victim.land(victim.begin())
    before = victim.descriptors()
    with ExitStack() as stack:
        held = [stack.enter_context(closing(connected(victim))) for _ in range(4 * MAX_CONNECTIONS)]
        for each in held:
            with suppress(ConnectionError):
                each.sendall(beginning)
        assert victim.descriptors() <= before + MAX_CONNECTIONS + 8, "no more than it wants to hold"
        assert "is logged in" in victim.get(landed).body
        until(lambda: victim.descriptors() <= before, seconds=30, what="no descriptor stays, though they do not go")


def test_a_browser_gets_through_while_another_process_connects_as_fast_as_it_can(victim: LoginPort) -> None:
    code = (
        "import socket, sys\nprint('ready', flush=True)\nheld = []\n"
        "while len(held) < 100_000:\n"
        "    try: held = held[-200:] + [socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)]\n"
        "    except OSError: pass\n"
    )
    landed = victim.land(victim.begin())
    with subprocess.Popen([sys.executable, "-c", code, str(victim.port)], stdout=subprocess.PIPE) as attacker:
        try:
            assert attacker.stdout is not None
            attacker.stdout.readline()
            answers: list[Answer] = []
            until(lambda: tried(victim, landed, answers), seconds=60, what=lambda: str(answers[-3:]))
        finally:
            attacker.kill()
    assert victim.row()["state"] == "logged_in"
    assert victim.daemon.client.ticket("front-door", wait=30).value


def tried(victim: LoginPort, landed: str, answers: list[Answer]) -> bool:
    """Whether the redirect was taken at this try; a browser tries a reset connection again, too."""
    with suppress(ConnectionError):
        answers.append(victim.get(landed))
    return bool(answers) and answers[-1].status == 200


def test_a_query_of_any_length_or_form_costs_an_answer_and_no_more(victim: LoginPort) -> None:
    landed = victim.land(victim.begin())
    for query in (
        "code=" + "a" * 15_000, "&".join(f"a{n}=b" for n in range(3000)), "code=1&code=2&state=" + state_of(landed),
        "%00%ff%fe=%c0%80", "code=%s%s%n&state=%", "=&=&=", "code", "?" * 5000, "state=" + "%F0%9F%9A%AA" * 900,
    ):  # fmt: skip
        answer = victim.get(f"/callback?{query}")
        assert answer.status == 400, query[:40]
        assert len(answer.body) < 1500
    assert victim.pending()
    assert victim.get(landed).status == 200


# what a provider says


def told_everywhere(victim: LoginPort) -> dict[str, str]:
    """Every place that a person or a program reads after a login that failed."""
    row = victim.row()
    shown = subprocess.run(
        [sys.executable, "-m", "broker", "status"],
        env={"PATH": os.environ["PATH"], "ELIOT_BROKER_SOCKET": str(victim.daemon.socket_path)},
        cwd=ROOT, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    last = next(line for line in reversed(victim.daemon.log().splitlines()) if '"login.failed"' in line)
    return {
        "account": row["login"]["detail"],
        "status": json.dumps(victim.daemon.client.status(), ensure_ascii=False),
        "terminal": shown.stdout.decode() + shown.stderr.decode(),
        "log": last,
    }


@pytest.mark.parametrize("error", ["server_hates_you", "invalid_request", HOSTILE])
def test_what_a_refusal_says_is_text_wherever_it_is_shown(victim: LoginPort, error: str) -> None:
    state = state_of(victim.begin())
    answer = victim.get(victim.target(error=error, error_description=HOSTILE, error_uri="javascript:x", state=state))
    assert answer.status == 400
    assert "The login failed" in answer.body
    assert "Location" not in answer.head
    for markup in ("<script", "<img", "onerror=alert(3)>", "<a ", "href", "<h1>second"):
        assert markup not in answer.body
    places = {"page": answer.body, "headers": answer.head, **told_everywhere(victim)}
    for place, text in places.items():
        assert "<h1>second" not in text, place
        assert "A" * 100 not in text, place
        odd = [letter for letter in text if not letter.isprintable() and letter not in "\r\n"]
        assert odd == [], (place, odd)
    assert victim.row()["state"] == "logged_in"


def test_the_waiting_command_shows_a_refusal_without_letting_it_at_the_terminal(victim: LoginPort) -> None:
    """On a terminal of its own: what would move the cursor or the title came from the command itself, or not at all."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "broker", "login", "home"]
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm", "ELIOT_BROKER_SOCKET": str(victim.daemon.socket_path)}
    quiet: dict[str, Any] = {"stdin": terminal, "stdout": subprocess.PIPE, "stderr": terminal}
    with subprocess.Popen(command, env=environ, cwd=ROOT, text=True, **quiet) as process:
        os.close(terminal)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = victim.get(victim.target(error="x", error_description=HOSTILE, state=state_of(url)))
        assert answer.status == 400
        shown = b""
        with suppress(OSError):  # the terminal's last user has gone
            while more := os.read(controller, 4096):
                shown += more
        assert process.wait(60) == 4
    os.close(controller)
    assert b"the provider refused the login" in shown
    for control in (b"\x1b]", b"\x1b[31m", b"\x07", "\u202e".encode()):
        assert control not in shown
