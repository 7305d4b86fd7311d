"""The HTTP client against real sockets: what it sends, what it refuses to do, and how it tells what went wrong."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from broker.adapters.transport import BlockingHttp, HttpRequest, Network, TlsContext, Transport
from broker.adapters.transport_proxy import ProxySettings
from broker.errors import ConfigError, InvalidResponse, UpstreamError, UpstreamRejected, UpstreamUnavailable
from broker.sandbox.certificates import CertificateAuthority
from tests.adapters.clocks import NOW, HandClock
from tests.adapters.raw_server import http, raw_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from broker.core.answer import HttpAnswer

TEN_BYTES = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
EMPTY: dict[str, str] = {}


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority(NOW)  # good for five years around it


@pytest.fixture
def ca_file(authority: CertificateAuthority, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return path


async def ask(
    url: str,
    *,
    face: str = "blocking",
    method: str = "GET",
    headers: Mapping[str, str] = EMPTY,
    body: bytes | None = None,
    ca_file: Path | None = None,
    environ: Mapping[str, str] = EMPTY,
    clock: HandClock | None = None,
    timeout_seconds: float = 5.0,
) -> HttpAnswer:
    network = Network(clock or HandClock(), ca_file=ca_file, environ=environ)
    request = HttpRequest(method, url, "issuer", headers, body, timeout_seconds=timeout_seconds)
    if face == "blocking":
        return await asyncio.to_thread(BlockingHttp(network).request, request)
    transport = Transport(network)
    try:
        return await transport.request(request)
    finally:
        await transport.close()


both_faces = pytest.mark.parametrize("face", ["blocking", "loop"])


@both_faces
async def test_an_answer_comes_with_status_headers_in_lower_case_and_body(face: str) -> None:
    async with raw_server(http("418 Teapot", b"short and stout", "X-Spout: Yes")) as server:
        answer = await ask(f"http://127.0.0.1:{server.port}/a%2Fb?c=%20d", face=face, headers={"X-Key": "k"})
    assert (answer.status, answer.headers["x-spout"], answer.body) == (418, "Yes", b"short and stout")
    assert server.requests[0].startswith(b"GET /a%2Fb?c=%20d HTTP/1.1\r\n")
    assert b"X-Key: k\r\n" in server.requests[0]
    assert b"User-Agent: eliot-broker/" in server.requests[0]


@both_faces
async def test_a_redirect_is_an_answer_and_is_not_followed(face: str) -> None:
    async with raw_server(http("302 Found", b"", "Location: /elsewhere")) as server:
        answer = await ask(f"http://127.0.0.1:{server.port}/", face=face)
    assert answer.status == 302
    assert len(server.requests) == 1


async def test_cookies_are_not_kept() -> None:
    async with raw_server(http("200 OK", b"", "Set-Cookie: a=b; Path=/")) as server:
        transport = Transport(Network(HandClock(), environ={}))
        for _ in range(2):
            await transport.request(HttpRequest("GET", f"http://localhost:{server.port}/", "issuer"))
        await transport.close()
    assert all(b"ookie" not in request for request in server.requests)


@both_faces
async def test_a_broken_connection_does_not_make_a_second_request(face: str) -> None:
    async with raw_server(b"") as server:
        with pytest.raises(UpstreamUnavailable, match="broke off") as caught:
            await ask(f"http://127.0.0.1:{server.port}/", face=face)
    assert len(server.requests) == 1
    assert caught.value.ambiguous


@both_faces
@pytest.mark.parametrize(
    "started", [b"", TEN_BYTES, TEN_BYTES + b"12345"], ids=["before", "after the headers", "within the body"]
)
async def test_the_deadline_holds_whatever_hangs(face: str, started: bytes) -> None:
    async with raw_server(started, hang=True) as server:
        before = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match=r"did not answer in full within 0\.3 s") as caught:
            await ask(f"http://127.0.0.1:{server.port}/", face=face, timeout_seconds=0.3)
        assert time.monotonic() - before < 10
    assert caught.value.ambiguous


async def test_an_answer_cut_short_is_ambiguous() -> None:
    async with raw_server(TEN_BYTES + b"12345") as server:
        with pytest.raises(UpstreamUnavailable, match="broke off before") as caught:
            await ask(f"http://127.0.0.1:{server.port}/")
    assert caught.value.ambiguous


@both_faces
async def test_a_huge_body_is_not_read_to_its_end(face: str) -> None:
    async with raw_server(http("200 OK", b"x" * 3_000_000)) as server:
        with pytest.raises(InvalidResponse, match="far too much") as caught:
            await ask(f"http://127.0.0.1:{server.port}/", face=face)
    assert caught.value.ambiguous


async def test_what_is_no_http_is_an_invalid_response() -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9.9\r\n\r\n") as server:
        with pytest.raises(InvalidResponse, match="no HTTP"):
            await ask(f"http://127.0.0.1:{server.port}/")


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that nobody else can have, and where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@both_faces
async def test_a_refused_connection_is_not_ambiguous(face: str) -> None:
    with (
        silent_port() as port,
        pytest.raises(UpstreamUnavailable, match=r"127\.0\.0\.1 refused the connection") as caught,
    ):
        await ask(f"http://127.0.0.1:{port}/", face=face)
    assert not caught.value.ambiguous


async def test_a_name_that_does_not_resolve_is_not_ambiguous() -> None:
    with pytest.raises(UpstreamUnavailable, match=r"the name nowhere\.invalid could not be resolved") as caught:
        await ask("https://nowhere.invalid/")
    assert not caught.value.ambiguous


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://127.0.0.1/", "http://", "http://[::1/"])
async def test_an_unusable_url_is_the_operators(url: str) -> None:
    with pytest.raises(UpstreamRejected, match="no usable URL"):
        await ask(url)


async def test_a_header_with_a_line_break_is_never_sent() -> None:
    with pytest.raises(UpstreamRejected, match="X-Key has a control character") as caught:
        await ask("http://127.0.0.1:1/", headers={"X-Key": "hunter2\r\nX: y"})
    assert "hunter2" not in str(caught.value)


@both_faces
async def test_ca_file_is_trusted_besides_the_system(authority: CertificateAuthority, ca_file: Path, face: str) -> None:
    async with raw_server(http("200 OK", b"{}"), tls=authority.server_context()) as server:
        answer = await ask(f"https://localhost:{server.port}/", ca_file=ca_file, face=face)
    assert answer.body == b"{}"


async def test_an_unknown_ca_is_refused_before_anything_is_sent(authority: CertificateAuthority) -> None:
    async with raw_server(http("200 OK"), tls=authority.server_context()) as server:
        with pytest.raises(UpstreamUnavailable, match="not signed by a trusted CA") as caught:
            await ask(f"https://localhost:{server.port}/")
    assert not caught.value.ambiguous
    assert server.requests == []
    assert caught.value.hint is not None
    assert "ca_file" in caught.value.hint


async def test_a_certificate_for_another_name_is_refused(authority: CertificateAuthority, ca_file: Path) -> None:
    async with raw_server(http("200 OK"), tls=authority.server_context(["other.example"])) as server:
        with pytest.raises(UpstreamUnavailable, match="not one of localhost"):
            await ask(f"https://localhost:{server.port}/", ca_file=ca_file)


@pytest.mark.parametrize(
    ("wall_seconds", "hint"),
    [
        (60.0, "the clock says 1970: TLS cannot work until it is set"),
        (2_200_000_000.0, "the clock says 2039: TLS cannot work until it is set"),
        (1_795_003_200.0, "the clock says 2026-11-18: if that is wrong, set it; else the server must act"),
    ],
)
async def test_an_expired_certificate_points_at_the_clock(
    authority: CertificateAuthority, ca_file: Path, wall_seconds: float, hint: str
) -> None:
    async with raw_server(http("200 OK"), tls=authority.server_context(expired=True)) as server:
        with pytest.raises(UpstreamUnavailable, match="has expired by the local clock") as caught:
            await ask(f"https://localhost:{server.port}/", ca_file=ca_file, clock=HandClock(wall_seconds))
    assert caught.value.hint == hint


async def test_a_server_that_speaks_no_tls_is_told_as_such() -> None:
    async with raw_server(http("400 Bad Request", b"plain"), polite=False) as server:
        with pytest.raises(UpstreamUnavailable, match=r"the TLS handshake with localhost failed") as caught:
            await ask(f"https://localhost:{server.port}/")
    assert not caught.value.ambiguous


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"not pem", "PEM")])
def test_a_ca_file_that_cannot_be_used_is_a_configuration_error(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        TlsContext(path)


async def test_a_proxy_is_asked_with_its_credentials_and_keeps_them_out_of_the_error() -> None:
    async with raw_server(http("407 Proxy Authentication Required")) as server:
        environ = {"HTTPS_PROXY": f"http://user:hunter2@127.0.0.1:{server.port}"}
        with pytest.raises(UpstreamUnavailable, match="the proxy wants credentials") as caught:
            await ask("https://cloud.example/", environ=environ)
    assert server.requests[0].startswith(b"CONNECT cloud.example:443 ")
    assert b"Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n" in server.requests[0]
    assert not caught.value.ambiguous
    assert "hunter2" not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


async def test_a_plain_request_goes_through_the_proxy_too() -> None:
    async with raw_server(http("200 OK", b"via")) as server:
        answer = await ask("http://cloud.example/x", environ={"http_proxy": f"127.0.0.1:{server.port}"})
    assert answer.body == b"via"
    assert server.requests[0].startswith(b"GET http://cloud.example/x HTTP/1.1\r\n")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "http://[::1"])
async def test_a_proxy_of_another_kind_is_the_operators(proxy: str) -> None:
    with pytest.raises(UpstreamRejected, match="the proxy in the environment"):
        await ask("https://cloud.example/", environ={"ALL_PROXY": proxy})


async def test_a_proxy_that_is_down_is_told_as_such() -> None:
    with silent_port() as port, pytest.raises(UpstreamUnavailable, match="the proxy does not let us through") as caught:
        await ask("https://cloud.example/", environ={"HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert not caught.value.ambiguous


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("https://cloud.example/", "", True),
        ("https://cloud.example/", "*", False),
        ("https://cloud.example/", "other.example,cloud.example", False),
        ("https://api.cloud.example/", ".cloud.example", False),
        ("https://api.cloud.example/", "*.cloud.example", False),
        ("https://mycloud.example/", "cloud.example", True),
        ("https://10.1.2.3/", "10.0.0.0/8", False),
        ("https://11.1.2.3/", "10.0.0.0/8", True),
        ("https://127.0.0.1:8443/", "", False),
        ("https://localhost:8443/", "", False),
        ("http://cloud.example/", "", False),
    ],
)
def test_no_proxy_and_loopback_are_excepted(url: str, no_proxy: str, proxied: bool) -> None:
    settings = ProxySettings.from_environ({"https_proxy": "http://proxy.example:3128", "NO_PROXY": no_proxy})
    assert (settings.proxy_for(url, service="issuer") is not None) is proxied


async def test_the_blocking_face_needs_no_loop_of_anybody_else() -> None:
    """Called from a thread that has none, while the loop of the test only serves."""
    async with raw_server(http("200 OK", b"1")) as server:
        outcomes = await asyncio.gather(*(ask(f"http://127.0.0.1:{server.port}/") for _ in range(3)))
    assert [outcome.body for outcome in outcomes] == [b"1"] * 3


async def test_the_pool_is_used_again_and_closed_at_the_end() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answer, hang=True) as server:
        transport = Transport(Network(HandClock(), environ={}))
        await transport.request(HttpRequest("GET", f"http://127.0.0.1:{server.port}/", "issuer"))
        with pytest.raises(UpstreamError):  # the raw server reads one request a connection: the second one hangs on it
            await transport.request(
                HttpRequest("GET", f"http://127.0.0.1:{server.port}/", "issuer", timeout_seconds=0.2)
            )
        await transport.close()
    assert len(server.requests) == 1
