"""An OpenID provider of Authlib's grants on loopback TLS, in a thread: its rules of OAuth and PKCE judge our requests.

Authlib decides what a valid request is (client authentication, redirect URI, code, verifier); what it leaves to its
users (storage, rotation, who logs in) is here in the smallest form. The one invariant: a refresh token is good once.
"""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.core.grants.code import OpenIDToken
from joserfc.jwk import RSAKey

from broker.sandbox.cloud import WALL_CLOCK

if TYPE_CHECKING:
    import ssl

LIFE_SECONDS = 300
PAGE = (
    "<form method=post><button name=answer value=yes>Log in</button><button name=answer value=no>Cancel</button></form>"
)


@dataclass
class Client:
    """A registered application, in the form that Authlib asks it."""

    client_id: str
    secret: str | None
    redirect_uri: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(name for name in (scope or "").split() if name in {"openid", "offline_access"})

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return (method == "none") is (self.secret is None)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


@dataclass
class Grant:
    """What a login gave: a code at first, then one refresh token after another."""

    client_id: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    auth_time: float
    used: set[str] = field(default_factory=set)
    revoked: bool = False
    expires_at: float = float("inf")

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.auth_time)

    def get_acr(self) -> None:
        """No class of authentication is claimed."""

    def get_amr(self) -> None:
        """Nor its methods."""

    def check_client(self, client: Client) -> bool:
        return client.client_id == self.client_id


class Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server without a web framework: requests are dicts, responses tuples."""

    def __init__(self, clients: dict[str, Client]) -> None:
        super().__init__(scopes_supported=["openid", "offline_access"])
        self.clients = clients
        self.codes: dict[str, Grant] = {}
        self.refresh_tokens: dict[str, Grant] = {}
        self.issuer = ""
        self.keys = [new_key()]
        self.register_token_generator("default", BearerTokenGenerator(_secret, _secret, lambda *_: LIFE_SECONDS))
        self.register_grant(CodeGrant, [CodeChallenge(required=True), FirstIdToken(self)])
        self.register_grant(RefreshGrant, [NextIdToken(self)])

    def query_client(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        grant = request.authorization_code or request.refresh_token
        if "refresh_token" in token:
            self.refresh_tokens[token["refresh_token"]] = grant

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, list[tuple[str, str]]]:
        return status, body, list(headers)

    def send_signal(self, name: str, *_unused: Any, **_also_unused: Any) -> None:
        """Nobody listens."""


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """RFC 6749 section 4.1, with RFC 7636 required."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        self.server.codes[code] = Grant(
            request.client.client_id,
            data["redirect_uri"],
            request.scope,
            data.get("nonce"),
            data.get("code_challenge"),
            data.get("code_challenge_method"),
            WALL_CLOCK(),
        )

    def query_authorization_code(self, code: str, client: Client) -> Grant | None:
        grant: Grant | None = self.server.codes.get(code)
        return grant if grant is not None and grant.check_client(client) else None

    def delete_authorization_code(self, authorization_code: Grant) -> None:
        self.server.codes = {
            code: grant for code, grant in self.server.codes.items() if grant is not authorization_code
        }

    def authenticate_user(self, _authorization_code: Grant) -> str:
        return "alice"


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """RFC 6749 section 6; a used token ends the login (RFC 9700 section 4.14.2)."""

    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_post", "client_secret_basic")

    def authenticate_refresh_token(self, refresh_token: str) -> Grant | None:
        grant: Grant | None = self.server.refresh_tokens.get(refresh_token)
        if grant is None:
            return None
        grant.revoked |= refresh_token in grant.used
        grant.used.add(refresh_token)
        return None if grant.revoked or grant.expires_at <= WALL_CLOCK() else grant

    def authenticate_user(self, _refresh_token: Grant) -> str:
        return "alice"

    def revoke_old_credential(self, refresh_token: Grant) -> None:
        """It was noted as used when it was shown."""


class _IdToken:
    """How id tokens are made, for both grants."""

    def __init__(self, server: Server) -> None:
        self.require_nonce = False
        self._server = server

    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        return any(grant.nonce == nonce for grant in self._server.codes.values())

    def resolve_client_private_key(self, _client: Client) -> RSAKey:
        return self._server.keys[0]

    def get_encode_header(self, _client: Client) -> dict[str, str]:
        return {"alg": "RS256", "kid": str(self._server.keys[0].kid)}

    def get_compatible_claims(self, request: Any) -> dict[str, Any]:
        now = int(WALL_CLOCK())
        audience = [request.client.client_id]
        return {"iss": self._server.issuer, "aud": audience, "iat": now, "exp": now + LIFE_SECONDS}

    def generate_user_info(self, user: str, _scope: str) -> dict[str, str]:
        return {"sub": user}


class FirstIdToken(_IdToken, OpenIDCode):  # type: ignore[misc]
    """For a code."""


class NextIdToken(_IdToken, OpenIDToken):  # type: ignore[misc]
    """For a refresh token."""


def _secret(*_unused: Any, **_also_unused: Any) -> str:
    return secrets.token_urlsafe(32)


def new_key() -> RSAKey:
    """A signing key."""
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": secrets.token_hex(4)})


class AuthlibProvider(ThreadingHTTPServer):
    """The provider's HTTP side; `start()` and `stop()`, both from outside its thread."""

    daemon_threads = True

    def __init__(self, clients: dict[str, Client], tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.origin = f"https://localhost:{self.server_address[1]}"
        self.oauth = Server(clients)
        self.oauth.issuer = self.origin
        self.lock = threading.Lock()  # Authlib's users hold their storage together; here it is dicts
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: AuthlibProvider
    protocol_version = "HTTP/1.0"

    def log_message(self, *_unused: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        oauth = self.server.oauth
        match urlsplit(self.path).path:
            case "/.well-known/openid-configuration":
                self._send(200, _metadata(self.server.origin))
            case "/keys":
                self._send(200, {"keys": [key.as_dict(private=False) for key in oauth.keys]})
            case "/authorize":
                self._send(200, PAGE)
            case _:
                self._send(404, {})

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        request = OAuth2Request("POST", self.server.origin + self.path, headers=dict(self.headers))
        with self.server.lock:
            if parts.path == "/token":
                request.payload = BasicOAuth2Payload(form)
                request._body = form
                self._send(*self.server.oauth.create_token_response(request))
            else:
                request.payload = BasicOAuth2Payload(query)
                grant = self.server.oauth.get_consent_grant(request, "alice")
                user = "alice" if form.get("answer") == "yes" else None
                self._send(*self.server.oauth.create_authorization_response(request, grant_user=user, grant=grant))

    def _send(self, status: int, body: Any, headers: list[tuple[str, str]] | None = None) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        for name, value in headers or [("Content-Type", "text/html" if isinstance(body, str) else "application/json")]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


def _metadata(origin: str) -> dict[str, Any]:
    return {
        "issuer": origin,
        "authorization_endpoint": f"{origin}/authorize?{urlencode({'tenant': 'any'})}",
        "token_endpoint": f"{origin}/token",
        "jwks_uri": f"{origin}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
        "code_challenge_methods_supported": ["S256"],
    }
