"""The providers at work, each on loopback TLS: the sandbox, and those that others wrote, as processes of their own.

A house knows its login pages and what a test can do to it; which account uses it how is in `ways`. The one invariant:
with CI=true a provider that is not installed fails the test, elsewhere it skips it and says what to run.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urlencode

import pytest

from broker.adapters.token_request import basic_authorization
from broker.sandbox import CloudThread, Options, credentials, follow_login
from broker.sandbox.certificates import CertificateAuthority
from broker.sandbox.cloud import WALL_CLOCK
from tests.network.proxy import Proxy
from tests.providers.authlib_provider import AuthlibProvider, Client, new_key
from tests.providers.browser import PlainBrowser

if TYPE_CHECKING:
    from types import TracebackType

    from broker.config import AccountConfig
    from broker.core.secret import Secret
    from broker.sandbox import Cloud

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
DJANGO_PYTHON = HERE / ".venv" / "bin" / "python"
REDIRECT_URI = credentials.REDIRECT_URI
INSTALL = "run: make providers"
TIMEOUT_SECONDS = 30


class House(Protocol):
    """A provider that is up."""

    @property
    def origin(self) -> str:
        """Where it is: https://HOST:PORT."""
        ...

    @property
    def ca_file(self) -> Path:
        """Whom to trust for it."""
        ...

    @property
    def environ(self) -> dict[str, str]:
        """The proxies to reach it by."""
        ...

    def log_in(self, authorization_url: str) -> str:
        """Log in on its pages; the redirect URL."""
        ...

    def cancel(self, authorization_url: str) -> str:
        """Think better of it on its pages; the redirect URL."""
        ...

    def rotate_keys(self, *, keep_old: bool) -> None:
        """Sign with a new key; the old one stays published or is withdrawn."""
        ...

    def expire(self) -> None:
        """Let every refresh token be past its life."""
        ...

    def revoke(self, config: AccountConfig, refresh_token: Secret) -> None:
        """End the login that this refresh token of this application belongs to."""
        ...


class SandboxHouse:
    """Our own stand-in cloud, as strict as the others about used refresh tokens.

    With `names` it is reached under the cloud's real host names, through a proxy that leads them to loopback.
    """

    def __init__(self, *, names: bool = False) -> None:
        self._thread = CloudThread(Options(rotation="strict"))
        self._names = names
        self._proxy: Proxy | None = None
        self.environ: dict[str, str] = {}

    @property
    def origin(self) -> str:
        return self.cloud.origin

    @property
    def ca_file(self) -> Path:
        return self.cloud.ca_file

    def log_in(self, authorization_url: str) -> str:
        return self._browse(authorization_url, "accept")

    def cancel(self, authorization_url: str) -> str:
        return self._browse(authorization_url, "cancel")

    def _browse(self, authorization_url: str, answer: str) -> str:
        if self._proxy is None:
            return follow_login(authorization_url, self.ca_file, answer="accept" if answer == "accept" else "cancel")
        browser = PlainBrowser(self.ca_file, REDIRECT_URI, proxy=self._proxy.url)
        landed = browser.open(f"{authorization_url}&sandbox_answer={answer}").landed
        assert landed is not None
        return landed

    def rotate_keys(self, *, keep_old: bool) -> None:
        self.cloud.rotate_keys(keep_old=keep_old)

    def expire(self) -> None:
        self.cloud.expire_logins()

    def revoke(self, config: AccountConfig, refresh_token: Secret) -> None:  # noqa: ARG002  it ends every login
        self.cloud.revoke()

    def __enter__(self) -> Self:
        self.cloud: Cloud = self._thread.__enter__()
        if self._names:
            routes = {"": ("127.0.0.1", self.cloud.port)}
            self._proxy = Proxy(routes=routes, opens_tls=self.cloud.authority).__enter__()
            self.environ = {"HTTPS_PROXY": self._proxy.url}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._proxy is not None:
            self._proxy.__exit__(kind, error, traceback)
        self._thread.__exit__(kind, error, traceback)


class ProcessHouse:
    """A provider in a process of its own that prints `listening PORT`; `revocation_path` is RFC 7009's endpoint."""

    environ: dict[str, str] = {}  # noqa: RUF012  never changed: it is reached without a proxy
    revocation_path = "/tenant.onmicrosoft.com/b2c_1_signin/oauth2/v2.0/revoke"

    def __init__(self, directory: Path, command: list[str], environ: dict[str, str]) -> None:
        authority = CertificateAuthority(WALL_CLOCK())
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.pem)
        tls_file = directory / "server.pem"
        tls_file.touch(mode=0o600)
        tls_file.write_bytes(authority.server_pem())
        self._errors = directory / "stderr.log"
        self._command = command
        self._environ = {"PATH": os.environ["PATH"], "TLS_FILE": str(tls_file), **environ}

    def __enter__(self) -> Self:
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                self._command, env=self._environ, cwd=HERE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening "), f"{self._command[0]} did not start: {self._errors.read_text()}"
        self.origin = f"https://localhost:{line.split()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=TIMEOUT_SECONDS)

    def _post(self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> bytes:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        request = urllib.request.Request(f"{self.origin}{path}", urlencode(fields).encode(), headers or {})
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            assert answer.status == 200
            content: bytes = answer.read()
            return content

    def rotate_keys(self, *, keep_old: bool) -> None:
        self._post("/__admin/rotate" if keep_old else "/__admin/rotate-hard", {})

    def expire(self) -> None:
        self._post("/__admin/expire", {})

    def revoke(self, config: AccountConfig, refresh_token: Secret) -> None:
        fields, headers = {"token": refresh_token.reveal()}, {}
        secret = "" if config.client_secret is None else config.client_secret.value.reveal()
        if config.oauth.client_auth == "basic":
            headers["Authorization"] = basic_authorization(config.client_id, secret)
        else:
            fields |= {"client_id": config.client_id} | ({"client_secret": secret} if secret else {})
        self._post(self.revocation_path, fields, headers)


@dataclass(frozen=True, slots=True)
class Grant:
    """A refresh as the provider saw it: fingerprints of the token sent and of the one given, or why it refused."""

    sent: str
    given: str | None
    refusal: str | None


class OidcProviderHouse(ProcessHouse):
    """npm oidc-provider; `shape` "b2c" puts it behind B2C's paths."""

    def __init__(self, directory: Path, *, shape: str = "") -> None:
        node = shutil.which("node")
        if node is None or not (MODULES / "oidc-provider").is_dir():
            missing("npm's oidc-provider")
        super().__init__(directory, [node or "", str(HERE / "oidc_provider.mjs")], {"SHAPE": shape})
        if not shape:
            self.revocation_path = "/token/revocation"

    def log_in(self, authorization_url: str) -> str:
        browser = PlainBrowser(self.ca_file, REDIRECT_URI)
        return browser.fill_until_landed(authorization_url, {"login": "alice", "password": "any"})

    def cancel(self, authorization_url: str) -> str:
        browser = PlainBrowser(self.ca_file, REDIRECT_URI)
        page = browser.open(browser.open(authorization_url).links["Cancel"])
        assert page.landed is not None
        return page.landed

    def grants(self) -> list[Grant]:
        """Everything that was asked with a refresh token, in order."""
        return [Grant(**entry) for entry in json.loads(self._post("/__admin/grants", {}))]


class DjangoHouse(ProcessHouse):
    """PyPI django-oauth-toolkit."""

    def __init__(self, directory: Path) -> None:
        if not DJANGO_PYTHON.exists():
            missing("django-oauth-toolkit")
        database = {"DATABASE": str(directory / "provider.sqlite3")}
        super().__init__(directory, [str(DJANGO_PYTHON), str(HERE / "django_provider.py")], database)

    def log_in(self, authorization_url: str) -> str:
        return self._browse(authorization_url, button="allow")

    def cancel(self, authorization_url: str) -> str:
        return self._browse(authorization_url, button=None)

    def _browse(self, authorization_url: str, *, button: str | None) -> str:
        person = {"username": "alice", "password": "wonderland"}
        return PlainBrowser(self.ca_file, REDIRECT_URI).fill_until_landed(authorization_url, person, button=button)


class AuthlibHouse:
    """A provider of Authlib's grants, in a thread."""

    environ: dict[str, str] = {}  # noqa: RUF012  never changed: it is reached without a proxy

    def __init__(self, directory: Path) -> None:
        authority = CertificateAuthority(WALL_CLOCK())
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.pem)
        secrets = {"broker-plain": "letters-and-digits-1", "broker-odd": "secret of broker-odd: + & % /"}
        names = ("broker-public", "another-application", *secrets)
        clients = {name: Client(name, secrets.get(name), REDIRECT_URI) for name in names}
        self._provider = AuthlibProvider(clients, authority.server_context())

    @property
    def origin(self) -> str:
        return self._provider.origin

    def __enter__(self) -> Self:
        self._provider.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._provider.stop()

    def log_in(self, authorization_url: str) -> str:
        return self._browse(authorization_url, "yes")

    def cancel(self, authorization_url: str) -> str:
        return self._browse(authorization_url, "no")

    def _browse(self, authorization_url: str, answer: str) -> str:
        browser = PlainBrowser(self.ca_file, REDIRECT_URI)
        page = browser.open(authorization_url, urlencode({"answer": answer}).encode())
        assert page.landed is not None, page.text
        return page.landed

    def rotate_keys(self, *, keep_old: bool) -> None:
        keys = self._provider.oauth.keys
        self._provider.oauth.keys = [new_key(), *(keys if keep_old else [])]

    def expire(self) -> None:
        for grant in self._provider.oauth.refresh_tokens.values():
            grant.expires_at = 0

    def revoke(self, config: AccountConfig, refresh_token: Secret) -> None:  # noqa: ARG002  the token says whose it is
        self._provider.oauth.refresh_tokens[refresh_token.reveal()].revoked = True


def missing(what: str) -> None:
    """A provider is not installed: a failure in CI, a skipped test elsewhere."""
    text = f"{what} is not installed here; {INSTALL}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
