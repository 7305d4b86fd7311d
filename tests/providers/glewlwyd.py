"""Debian's glewlwyd on loopback TLS: set up through its own administration API, driven through its login API.

An awkward provider, and a real one: a refresh brings no id token, and a dead refresh token a 400 without a body.
The one invariant: every run has a database of its own.
"""

from __future__ import annotations

import gzip
import http.cookiejar
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from joserfc.jwk import RSAKey

from broker.sandbox import credentials
from broker.sandbox.certificates import CertificateAuthority
from broker.sandbox.cloud import WALL_CLOCK
from tests.e2e.waiting import until
from tests.providers.browser import PlainBrowser
from tests.providers.houses import missing

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = "glewlwyd"
SCHEMA = Path("/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz")
CLIENT_ID = "broker-public"
REDIRECT_URI = credentials.REDIRECT_URI
JSON = {"Content-Type": "application/json"}
CONFIGURATION = """
port = {port}
bind_address = "127.0.0.1"
external_url = "https://localhost:{port}"
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "WARNING"
session_expiration = 86400
session_key = "SESSION"
admin_session_authentication = "cookie"
profile_session_authentication = "cookie"
login_api_enabled = true
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
use_secure_connection = true
secure_connection_key_file = "{directory}/server.pem"
secure_connection_pem_file = "{directory}/server.pem"
hash_algorithm = "SHA512"
static_files_path = "/usr/share/glewlwyd/webapp/"
static_files_mime_types = ( {{ extension = ".html" mime_type = "text/html" }} )
database = {{ type = "sqlite3"; path = "{directory}/database"; }};
"""


class Glewlwyd:
    """`with Glewlwyd(directory) as provider`."""

    def __init__(self, directory: Path) -> None:
        if shutil.which(PROGRAM) is None or not SCHEMA.exists():
            missing("Debian's glewlwyd")
        self._directory = directory
        authority = CertificateAuthority(WALL_CLOCK())
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.pem)
        tls_file = directory / "server.pem"
        tls_file.touch(mode=0o600)
        tls_file.write_bytes(authority.server_pem())
        with sqlite3.connect(directory / "database") as database:
            database.executescript(gzip.decompress(SCHEMA.read_bytes()).decode())
        database.close()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.issuer = f"https://localhost:{self.port}/api/oidc"

    def __enter__(self) -> Self:
        config = self._directory / "glewlwyd.conf"
        config.write_text(CONFIGURATION.format(port=self.port, directory=self._directory))
        self._process = subprocess.Popen(
            [PROGRAM, f"--config-file={config}"],
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._listens, seconds=60, what="glewlwyd does not listen")
        self._set_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(20)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _set_up(self) -> None:
        admin = _Api(self)
        admin.call("POST", "auth/", {"username": "admin", "password": "password"})  # as its schema makes it
        key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "one"})
        parameters = {
            "iss": self.issuer,
            "jwks-private": json.dumps({"keys": [key.as_dict(private=True)]}),
            "default-kid": "one",
            "jwks-show": True,
            "access-token-duration": 300,
            "refresh-token-duration": 86_400,
            "code-duration": 60,
            "refresh-token-rolling": False,
            "refresh-token-one-use": "always",
            "allow-non-oidc": True,
            "auth-type-code-enabled": True,
            "auth-type-refresh-enabled": True,
            "pkce-allowed": True,
            "pkce-required": True,
            "pkce-method-plain-allowed": False,
            "subject-type": "public",
            "scope": [],
            "additional-parameters": [],
            "claims": [],
        }
        plugin = {"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": True, "parameters": parameters}
        admin.call("POST", "mod/plugin/", plugin)
        person = {"username": "alice", "password": "wonderland", "scope": ["openid", "g_profile"], "enabled": True}
        admin.call("POST", "user/?source=database", person)
        application = {
            "client_id": CLIENT_ID,
            "name": CLIENT_ID,
            "enabled": True,
            "confidential": False,
            "redirect_uri": [REDIRECT_URI],
            "authorization_type": ["code", "refresh_token"],
            "token_endpoint_auth_method": ["none"],
            "scope": ["openid"],
        }
        admin.call("POST", "client/?source=database", application)

    def log_in(self, authorization_url: str) -> str:
        """What its login page's script does: log in, consent, go on; the redirect URL."""
        person = _Api(self)
        person.call("POST", "auth/", {"username": "alice", "password": "wonderland"})
        person.call("PUT", f"auth/grant/{CLIENT_ID}", {"scope": "openid"})
        page = person.browser.open(f"{authorization_url}&g_continue")
        assert page.landed is not None, page.text
        return page.landed


class _Api:
    """Its JSON API, in one session."""

    def __init__(self, provider: Glewlwyd) -> None:
        self._base = f"https://localhost:{provider.port}/api"
        cookies = http.cookiejar.CookieJar()
        self.browser = PlainBrowser(provider.ca_file, REDIRECT_URI, cookies=cookies)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(provider.ca_file))),
            urllib.request.HTTPCookieProcessor(cookies),
        )

    def call(self, method: str, path: str, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        request = urllib.request.Request(f"{self._base}/{path}", body, JSON, method=method)
        with self._opener.open(request, timeout=20) as answer:
            assert answer.status == 200
