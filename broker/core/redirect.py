"""What a person brings back from the login: the redirect URL, its query, or the bare code.

Pure. The one invariant: nothing is believed that does not carry the pending login's state, but for a bare code that
PKCE or a nonce binds (RFC 6749 section 10.12, RFC 7636).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from broker.errors import BadRequest, ResponseMismatch

if TYPE_CHECKING:
    from broker.core.secret import Secret
    from broker.core.tokens import PendingLogin

LONGEST = 16_384
BARE_CODE = re.compile(r"[!-~]+")
SHORT_BYTES = 9  # 72 bits: nobody finds it in the ten minutes that it lives
AGAIN = "open the login page again and paste the whole address it ends on"


def parameters(response: Secret) -> dict[str, str]:
    """The parameters in a pasted text; a bare code becomes {"code": …}. Raises: BadRequest."""
    text = response.reveal().strip().strip("<>\"'")
    if not text or len(text) > LONGEST:
        raise BadRequest("login response: empty or too long", hint=AGAIN)
    query = _query_of(text)
    if query is None:
        if not BARE_CODE.fullmatch(text):
            raise BadRequest("login response: neither an address nor a code", hint=AGAIN)
        return {"code": text}
    pairs = parse_qsl(query, keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("login response: a parameter stands twice", hint=AGAIN)
    if "code" not in found and "error" not in found:
        raise BadRequest("login response: the address holds neither a code nor an error", hint=AGAIN)
    return found


def _query_of(text: str) -> str | None:
    try:
        parts = urlsplit(text)
    except ValueError:
        return "" if "://" in text else None
    if "://" in text or text.startswith("/"):
        return parts.query or parts.fragment
    if text.startswith("?"):
        return text[1:]
    return text if re.search(r"(^|&)(code|error)=", text) else None


def short_path(pending: PendingLogin) -> str:
    """The path of a short local address that leads to the authorization URL; only who began the login can know it."""
    digest = hashlib.sha256(b"short address of " + pending.state.reveal().encode()).digest()
    return "/" + base64.urlsafe_b64encode(digest[:SHORT_BYTES]).decode()


def check_state(found: dict[str, str], pending: PendingLogin) -> None:
    """Tie the parameters to the pending login. Raises: ResponseMismatch."""
    state = found.get("state")
    if state is None:
        if set(found) == {"code"} and pending.binds_code:
            return
        raise ResponseMismatch(
            "login response: it carries no state, so it is not the whole address that the browser ended at", hint=AGAIN
        )
    if not hmac.compare_digest(state.encode("utf-8", "replace"), pending.state.reveal().encode()):
        hint = "it belongs to another login: use the address that was printed last"
        raise ResponseMismatch("login response: its state is not that of the pending login", hint=hint)
