"""The broker's operations as requests, and what is read from its answers: shared by both clients and the command.

Knows paths, parameters and documents, no sockets. The one invariant: `read_document` returns a document or raises
the broker's own problem.
"""

from __future__ import annotations

from broker.client.problems import Problem, Unreachable
from broker.client.wire import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from broker.client.wire import Reply

    Document = dict[str, Any]

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
LOGIN_PATIENCE_SECONDS = 60.0  # an exchange with the cloud may be repeated once, behind a refresh under way
SILENCE_SECONDS = 75.0  # watch has a heartbeat every 30 s: two may be late


def ticket(name: str, min_validity: int | None = None, wait: int | None = None) -> Request:
    """GET /v1/tickets/{name}."""
    return _vend(f"/v1/tickets/{quoted(name)}", min_validity, wait)


def id_token(account: str, min_validity: int | None = None, wait: int | None = None) -> Request:
    """GET /v1/accounts/{account}/id-token."""
    return _vend(f"/v1/accounts/{quoted(account)}/id-token", min_validity, wait)


def watch(name: str) -> Request:
    """GET /v1/tickets/{name}/watch."""
    return Request("GET", f"/v1/tickets/{quoted(name)}/watch", headers={"Accept": "application/x-ndjson"})


def read(path: str) -> Request:
    """GET of a path that takes no parameter: status, accounts, tickets, readyz."""
    return Request("GET", path)


def account(name: str) -> Request:
    """GET /v1/accounts/{name}."""
    return read(f"/v1/accounts/{quoted(name)}")


def login(name: str) -> Request:
    """POST /v1/accounts/{name}/login."""
    return _act(name, "login")


def complete_login(name: str, response: str) -> Request:
    """POST /v1/accounts/{name}/login/complete with the redirect URL, its query or the bare code."""
    request = _act(name, "login/complete")
    request.headers["Content-Type"] = "application/json"
    import json

    request.body = json.dumps({"response": response}).encode()
    return request


def refresh(name: str) -> Request:
    """POST /v1/accounts/{name}/refresh."""
    return _act(name, "refresh")


def logout(name: str) -> Request:
    """POST /v1/accounts/{name}/logout."""
    return _act(name, "logout")


def reload() -> Request:
    """POST /v1/reload."""
    return Request("POST", "/v1/reload", patience_seconds=LOGIN_PATIENCE_SECONDS)


def refuse(name: str, generation: int) -> Request:
    """POST /v1/tickets/{name}/refresh with If-Match: the door refused this generation."""
    headers = {"If-Match": f'"{generation}"'}
    return Request("POST", f"/v1/tickets/{quoted(name)}/refresh", headers=headers)


def probe(name: str, *, only_configured: bool = False) -> Request:
    """POST /v1/tickets/{name}/probe."""
    request = Request("POST", f"/v1/tickets/{quoted(name)}/probe", patience_seconds=2 * LOGIN_PATIENCE_SECONDS)
    request.headers["Content-Type"] = "application/json"
    import json

    request.body = json.dumps({"only_configured": only_configured}).encode()
    return request


def homes(account: str) -> Request:
    """GET /v1/accounts/{account}/homes."""
    return Request("GET", f"/v1/accounts/{quoted(account)}/homes", patience_seconds=LOGIN_PATIENCE_SECONDS)


def quoted(name: str) -> str:
    """A name as one segment of a path (RFC 3986 section 2.1); urllib would cost the command 2 ms at every start."""
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in name.encode())


def read_document(reply: Reply) -> Document:
    """The JSON object of an answer. Raises: Problem, where it is one; Unreachable, where it is neither."""
    document = parse_object(reply.take())
    if reply.status >= 400:  # noqa: PLR2004 (HTTP's own border)
        raise Problem.from_document(reply.status, document or {})
    if document is None:
        raise Unreachable(f"the broker's answer ({reply.status}) is not a JSON object")
    return document


def parse_object(content: bytes) -> Document | None:
    """One JSON object; None: it is not one."""
    import json  # loaded here, for `ticket` needs it only where something went wrong

    try:
        document = json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _vend(path: str, min_validity: int | None, wait: int | None) -> Request:
    given = (("min_validity", min_validity), ("wait", wait))
    query = "&".join(f"{name}={int(value)}" for name, value in given if value is not None)
    return Request("GET", f"{path}?{query}" if query else path, patience_seconds=float(wait or 0))


def _act(name: str, action: str) -> Request:
    return Request("POST", f"/v1/accounts/{quoted(name)}/{action}", patience_seconds=LOGIN_PATIENCE_SECONDS)
