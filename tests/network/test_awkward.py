"""The whole daemon on an awkward network: each trouble has the right class and message, costs no login, and passes.

The cloud is the sandbox under names that lead to loopback, by a proxy or by a name server of the test's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest

from broker.client import Problem
from broker.sandbox import CAPTIVE_PORTAL, CloudThread, Fault, Options, credentials
from broker.sandbox.certificates import CertificateAuthority
from broker.sandbox.cloud import WALL_CLOCK
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.network.name_server import NameServer, with_resolver
from tests.network.proxy import Proxy
from tests.providers.browser import PlainBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud
    from tests.network.name_server import Mood

pytestmark = pytest.mark.slow
NAME = "elsewhere.example"
"""What the sandbox's certificate is good for with `certificate="wrong_name"`."""
PASSWORD = "hunter2/and:more"
QUOTED = "hunter2%2Fand%3Amore"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """The cloud at elsewhere.example."""
    with CloudThread(Options(certificate="wrong_name")) as started:
        yield started


@pytest.fixture
def browser(cloud: Cloud) -> Iterator[PlainBrowser]:
    """A person's browser, whose own network is fine."""
    with Proxy(routes={"": ("127.0.0.1", cloud.port)}) as proxy:
        yield PlainBrowser(cloud.ca_file, credentials.REDIRECT_URI, proxy=proxy.url)


def at(origin: str, cloud: Cloud, directory: Path, *, ca_file: Path | None = None) -> str:
    """A partner account of the cloud as it is reached by `origin`, and its ticket."""
    text = account(cloud, directory, api='timeout = "1s"').replace(cloud.origin, origin)
    return text.replace(str(cloud.ca_file), str(ca_file or cloud.ca_file)) + ticket(more='warm = "on-demand"')


def log_in(daemon: Daemon, browser: PlainBrowser) -> dict[str, Any]:
    begun = daemon.client.login("home")
    landed = browser.open(begun["authorization_url"]).landed
    assert landed is not None
    return daemon.client.complete_login("home", landed)


def told(problem: Problem) -> tuple[str, str, str, str]:
    return problem.code, problem.remedy, problem.detail, problem.hint or ""


def refused_login(daemon: Daemon, browser: PlainBrowser) -> Problem:
    with pytest.raises(Problem) as caught:
        log_in(daemon, browser)
    return caught.value


def refused_refresh(daemon: Daemon) -> Problem:
    with pytest.raises(Problem) as caught:
        daemon.client.refresh("home")
    return caught.value


def test_everything_goes_through_the_proxy_and_nothing_past_it(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path
) -> None:
    with Proxy(routes={NAME: ("127.0.0.1", cloud.port)}) as proxy:
        environ = {"HTTPS_PROXY": proxy.url}
        with Daemon(tmp_path, at(f"https://{NAME}", cloud, tmp_path), environ=environ) as daemon:
            log_in(daemon, browser)
            assert daemon.client.ticket("front-door", wait=30).value
            daemon.client.refresh("home")
    assert len(proxy.asked) >= 4, "metadata, keys, tokens and the call"
    assert set(proxy.asked) == {f"{NAME}:443"}


def test_a_proxy_with_a_password_is_given_it_and_nobody_else_is(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path
) -> None:
    with Proxy(routes={NAME: ("127.0.0.1", cloud.port)}, user="broker", password=PASSWORD) as proxy:
        environ = {"HTTPS_PROXY": proxy.url.replace("//", f"//broker:{QUOTED}@")}
        with Daemon(tmp_path, at(f"https://{NAME}", cloud, tmp_path), environ=environ) as daemon:
            log_in(daemon, browser)
            assert daemon.client.ticket("front-door", wait=30).value
            assert proxy.refused == 0
            log = daemon.log()
    assert "hunter2" not in log
    assert all("proxy-authorization" not in {name.lower() for name in call.headers} for call in cloud.calls)


@pytest.mark.parametrize("credentials_given", ["", "broker:wrong@"], ids=["none", "wrong"])
def test_a_proxy_that_is_not_given_its_password_is_named(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path, credentials_given: str
) -> None:
    with Proxy(routes={NAME: ("127.0.0.1", cloud.port)}, user="broker", password=PASSWORD) as proxy:
        environ = {"HTTPS_PROXY": proxy.url.replace("//", f"//{credentials_given}")}
        with Daemon(tmp_path, at(f"https://{NAME}", cloud, tmp_path), environ=environ) as daemon:
            code, remedy, detail, hint = told(refused_login(daemon, browser))
            assert (code, remedy) == ("upstream_unavailable", "retry")
            assert detail.endswith("cannot be reached: the proxy wants credentials")
            assert "HTTPS_PROXY" in hint
            assert daemon.client.account("home")["state"] == "login_pending"
    assert proxy.refused > 0
    assert proxy.asked == []


def test_a_captive_portals_page_costs_neither_login_nor_ticket(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path
) -> None:
    with Proxy(routes={NAME: ("127.0.0.1", cloud.port)}) as proxy:
        environ = {"HTTPS_PROXY": proxy.url}
        with Daemon(tmp_path, at(f"https://{NAME}", cloud, tmp_path), environ=environ) as daemon:
            log_in(daemon, browser)
            for endpoint in ("token", "call_in"):
                cloud.script.add(endpoint, CAPTIVE_PORTAL, times=None)
            code, remedy, detail, hint = told(refused_refresh(daemon))
            assert (code, remedy) == ("invalid_response", "retry")
            assert "token endpoint answered 200 with a web page instead of JSON" in detail
            assert "captive portal" in hint
            code, remedy, detail, _ = told(daemon.problem())
            assert (code, remedy) == ("invalid_response", "retry")
            assert "issuer answered 200 with a web page" in detail
            assert daemon.client.account("home")["state"] == "logged_in"
            cloud.script.clear()
            assert daemon.client.ticket("front-door", wait=30).value


def test_a_proxy_that_opens_tls_is_trusted_through_ca_file_only(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path
) -> None:
    company = CertificateAuthority(WALL_CLOCK(), "a company's proxy")
    company_file = tmp_path / "company.pem"
    company_file.write_bytes(company.pem)
    with Proxy(routes={NAME: ("127.0.0.1", cloud.port)}, opens_tls=company) as proxy:
        environ = {"HTTPS_PROXY": proxy.url}
        with Daemon(tmp_path, at(f"https://{NAME}", cloud, tmp_path), environ=environ) as daemon:
            code, remedy, detail, hint = told(refused_login(daemon, browser))
            assert (code, remedy) == ("upstream_unavailable", "retry")
            assert detail.endswith(f"the certificate of {NAME} is not signed by a trusted CA")
            assert "a proxy that opens TLS" in hint
            assert "ca_file" in hint
            assert cloud.calls.count("token") == 0
            daemon.write(at(f"https://{NAME}", cloud, tmp_path, ca_file=company_file))
            daemon.client.reload()
            log_in(daemon, browser)
            assert daemon.client.ticket("front-door", wait=30).value


def test_the_vendors_own_names_are_what_an_account_without_addresses_asks(tmp_path: Path) -> None:
    """Nothing but the defaults, and a proxy that leads the vendor's names to the sandbox."""
    with (
        CloudThread(Options()) as cloud,
        Proxy(routes={"": ("127.0.0.1", cloud.port)}, opens_tls=cloud.authority) as proxy,
    ):
        browser = PlainBrowser(cloud.ca_file, credentials.REDIRECT_URI, proxy=proxy.url)
        text = at("", cloud, tmp_path)
        kept = [line for line in text.splitlines() if not line.startswith(("authority", "base_url"))]
        with Daemon(tmp_path, "\n".join(kept), environ={"HTTPS_PROXY": proxy.url}) as daemon:
            log_in(daemon, browser)
            assert daemon.client.ticket("front-door", wait=30).plant_id == credentials.PLANT_ID
    assert set(proxy.asked) == {"partners-login.eliotbylegrand.com:443", "api.developer.legrand.com:443"}


def test_ipv6_only(tmp_path: Path) -> None:
    with CloudThread(Options(), host="::1") as cloud, Daemon(tmp_path, at(cloud.origin, cloud, tmp_path)) as daemon:
        assert cloud.origin.startswith("https://[::1]:")
        daemon.login(cloud)
        assert daemon.client.ticket("front-door", wait=30).value
        daemon.client.refresh("home")


def test_an_answer_that_stalls_after_its_headers_ends_at_the_deadline(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path
) -> None:
    with Proxy(routes={NAME: ("127.0.0.1", cloud.port)}) as proxy:
        environ = {"HTTPS_PROXY": proxy.url}
        with Daemon(tmp_path, at(f"https://{NAME}", cloud, tmp_path), environ=environ) as daemon:
            log_in(daemon, browser)
            cloud.script.add("call_in", Fault(hang="mid_answer"), times=None)
            code, remedy, detail, _ = told(daemon.problem(wait=2))
            assert (code, remedy) == ("upstream_unavailable", "retry")
            assert "issuer did not answer in full within 1 s" in detail
            cloud.script.clear()
            assert daemon.client.ticket("front-door", wait=30).value


class ResolvingDaemon(Daemon):
    """A daemon that knows no names but the test's."""

    def start(self) -> Self:
        command = [sys.executable, "-m", "broker", "serve", "--config", str(self.config)]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                with_resolver(self.directory, command), env=self.environ, stdout=errors, stderr=errors, cwd=ROOT
            )
        return self


MOODS: dict[Mood, str] = {
    "failure": f"the name {NAME} could not be resolved",
    "no such name": f"the name {NAME} could not be resolved",
    "silence": f"the name {NAME} could not be resolved",
    "lie": f"{NAME} refused the connection",
}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="cannot run here: a mount namespace with another resolv.conf wants root and unshare",
)
def test_a_name_server_that_fails_keeps_silent_or_lies_costs_nothing_but_time(
    cloud: Cloud, browser: PlainBrowser, tmp_path: Path
) -> None:
    origin = f"https://{NAME}:{cloud.port}"
    with NameServer(NAME) as names, ResolvingDaemon(tmp_path, at(origin, cloud, tmp_path)) as daemon:
        log_in(daemon, browser)
        for mood, message in MOODS.items():
            names.mood = mood
            code, remedy, detail, _ = told(refused_refresh(daemon))
            assert (mood, code, remedy) == (mood, "upstream_unavailable", "retry")
            assert detail.endswith(f"token endpoint cannot be reached: {message}"), mood
            assert daemon.client.account("home")["state"] == "logged_in"
        names.mood = "truth"
        daemon.client.refresh("home")
        assert daemon.client.ticket("front-door", wait=30).value
        assert names.asked > len(MOODS), "nothing was answered from memory"
