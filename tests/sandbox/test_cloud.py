from __future__ import annotations

import ssl
import stat
import urllib.request
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Literal

import pytest

from broker.sandbox import Cloud, CloudThread, Fault, Options

if TYPE_CHECKING:
    from pathlib import Path


def status_of(host: str, port: int, ca_file: Path) -> int:
    context = ssl.create_default_context(cafile=str(ca_file))
    connection = HTTPSConnection(host, port, context=context, timeout=10)
    try:
        connection.request("GET", "/oidc/keys")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_cloud_in_a_thread_serves_code_without_a_loop(tmp_path: Path) -> None:
    with CloudThread(Options(), directory=tmp_path) as cloud:
        assert cloud.ca_file == tmp_path / "ca.pem"
        assert status_of("127.0.0.1", cloud.port, cloud.ca_file) == 200
        assert status_of("localhost", cloud.port, cloud.ca_file) == 200
        cloud.script.add("keys", Fault(503))
        assert status_of("127.0.0.1", cloud.port, cloud.ca_file) == 503
        cloud.calls.wait("keys", 3, answered=True)
        with pytest.raises(TimeoutError, match="fewer than 4 calls of keys"):
            cloud.calls.wait("keys", 4, timeout_seconds=0)
        assert len(cloud.calls.spacing_seconds("keys")) == 2
    assert (tmp_path / "ca.pem").exists()
    with pytest.raises(ConnectionRefusedError):
        status_of("127.0.0.1", cloud.port, tmp_path / "ca.pem")


def test_nobody_who_does_not_know_its_authority_trusts_it(tmp_path: Path) -> None:
    with CloudThread() as cloud, CloudThread(directory=tmp_path) as other, pytest.raises(ssl.SSLCertVerificationError):
        status_of("127.0.0.1", cloud.port, other.ca_file)


def test_a_port_that_is_taken_is_an_error_where_it_was_started() -> None:
    with CloudThread() as cloud, pytest.raises(OSError, match="address already in use"), CloudThread(port=cloud.port):
        pass


async def test_without_a_directory_nothing_is_left_behind() -> None:
    async with Cloud() as cloud:
        directory = cloud.ca_file.parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert [file.name for file in directory.iterdir()] == ["ca.pem"]
    assert not directory.exists()


@pytest.mark.parametrize(
    ("certificate", "complaint"), [("expired", "certificate has expired"), ("wrong_name", "IP address mismatch")]
)
def test_its_certificate_can_be_wrong_in_a_chosen_way(
    certificate: Literal["expired", "wrong_name"], complaint: str
) -> None:
    with (
        CloudThread(Options(certificate=certificate)) as cloud,
        pytest.raises(ssl.SSLCertVerificationError, match=complaint),
    ):
        status_of("127.0.0.1", cloud.port, cloud.ca_file)


def test_two_clouds_share_nothing_but_the_signing_key() -> None:
    with CloudThread() as one, CloudThread() as other:
        one.options.gateway_online = False
        context = ssl.create_default_context(cafile=str(one.ca_file))
        handler = urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        with opener.open(f"{one.oidc_authority}/keys", timeout=10) as answer:
            assert answer.status == 200
        assert other.options.gateway_online
        assert len(other.calls) == 0
