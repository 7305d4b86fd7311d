"""What all providers do alike with the front channel: extra parameters of the URL, the redirect's error, a dead code.

Knows no library. The one invariant: what binds a login (state, nonce, code_challenge, redirect_uri) is ours to set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from broker.core import verdict
from broker.errors import GrantRejected, LoginRejected, ResponseMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from broker.core.tokens import TokenSet

NEVER_OVERRIDDEN = frozenset(
    {"client_id", "response_type", "redirect_uri", "state", "nonce", "code_challenge", "code_challenge_method"}
)


def with_parameters(url: str, extra: Mapping[str, str], *, without: Collection[str] = ()) -> str:
    """`url` with the query parameters of `extra` set or replaced, and those of `without` taken out."""
    parts = urlsplit(url)
    wanted = {name: value for name, value in extra.items() if name not in NEVER_OVERRIDDEN}
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name not in wanted and name not in without]
    return urlunsplit(parts._replace(query=urlencode([*kept, *wanted.items()])))


def code_of(response: Mapping[str, str]) -> str:
    """The authorization code of a redirect. Raises: LoginRejected, ResponseMismatch."""
    if response.get("error"):
        raise verdict.login_rejection(response)
    code = response.get("code", "").strip()
    if not code:
        raise ResponseMismatch("the redirect carries neither a code nor an error", hint="paste the whole redirect URL")
    return code


def redeemed(exchange: Callable[[], TokenSet]) -> TokenSet:
    """The tokens for a code; a code that is dead is a rejected login. Raises: LoginRejected, UpstreamError."""
    try:
        return exchange()
    except GrantRejected as error:
        raise LoginRejected(
            f"{error.service} did not take the code: it was used already, has expired or belongs to another login",
            hint="start a new login; a code is good once, for about ten minutes",
        ) from error
