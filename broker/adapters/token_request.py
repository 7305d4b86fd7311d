"""The HTTP session that MSAL and Authlib are given: it sends their one token request and remembers the answer.

The libraries build the request; `core.verdict` judges what came back, so neither's idea of an error, of a cache or of
a retry counts. The one invariant: one session sends at most one request, to the token endpoint.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote_plus, urlencode

from broker.adapters.transport import HttpRequest
from broker.core import verdict
from broker.core.answer import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.adapters.transport import BlockingHttp
    from broker.core.secret import Secret
    from broker.core.tokens import TokenSet

SERVICE = "token endpoint"
TIMEOUT_SECONDS = 20.0
NEVER_OVERRIDDEN = frozenset({"grant_type", "code", "refresh_token", "client_secret", "code_verifier"})
"""Fields of a token request that `token_params` cannot change."""


class ClientAuthentication(Protocol):
    """Authlib's hook that puts the client's credentials into a request."""

    def prepare(self, method: str, uri: str, headers: Any, body: str) -> tuple[str, dict[str, str], str]: ...


class LibraryResponse:
    """An answer in the shape of `requests`' response, as far as the two libraries look."""

    def __init__(self, answer: HttpAnswer) -> None:
        self.status_code = answer.status
        self.headers = dict(answer.headers)
        # MSAL logs a body that is no JSON, at ERROR: it is shown none.
        self.text = answer.body.decode("utf-8-sig") if answer.json_object() is not None else "{}"

    def json(self) -> Any:
        """The body's JSON object."""
        return json.loads(self.text)

    def raise_for_status(self) -> None:
        """End the library's work where there is nothing to parse; the verdict is ours."""
        if self.status_code >= 400:  # noqa: PLR2004  the meaning of requests' method
            raise RuntimeError(f"HTTP status {self.status_code}")


class TokenSession:
    """One token request. `get` answers MSAL's discovery from `metadata` without a request."""

    def __init__(
        self,
        http: BlockingHttp,
        *,
        token_params: Mapping[str, str],
        basic: tuple[str, Secret] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._http = http
        self._token_params = {name: value for name, value in token_params.items() if name not in NEVER_OVERRIDDEN}
        self._basic = basic
        self._metadata = metadata
        self._asked = False
        self.answer: HttpAnswer | None = None

    def post(
        self,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: ClientAuthentication | None = None,
        **_unused: object,
    ) -> LibraryResponse:
        """Send the token request. Raises: UpstreamError."""
        if self._asked:
            raise AssertionError("a library tried a second token request")
        self._asked = True
        sent = dict(headers or {}) | {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        body = urlencode({**(data or {}), **self._token_params})
        if auth is not None:
            url, sent, body = auth.prepare("POST", url, sent, body)
        if self._basic is not None:
            client_id, secret = self._basic
            sent["Authorization"] = basic_authorization(client_id, secret.reveal())
        request = HttpRequest("POST", url, SERVICE, sent, body.encode(), timeout_seconds=TIMEOUT_SECONDS)
        self.answer = self._http.request(request)
        return LibraryResponse(self.answer)

    def get(self, url: str, **_unused: object) -> LibraryResponse:
        """MSAL's discovery, out of what we know already."""
        body = json.dumps(self._metadata or {}).encode()
        return LibraryResponse(HttpAnswer(200, {"content-type": "application/json"}, body, url))

    def close(self) -> None:
        """Nothing is kept open."""


def exchange(session: TokenSession, library_call: Callable[[], object]) -> TokenSet:
    """Let a library make its token request, and judge the answer ourselves. Raises: GrantRejected, UpstreamError."""
    try:
        library_call()
    except Exception:
        if session.answer is None:
            raise  # the transport's own UpstreamError, or a bug
        # The request was answered: what the library makes of it (no access token, a strange id token) is not asked.
    assert session.answer is not None, "the library made no token request"
    return verdict.read_tokens(session.answer, service=SERVICE)


def basic_authorization(client_id: str, client_secret: str) -> str:
    """HTTP Basic with both parts form-encoded first (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
