"""The person before the browser, played without one: opens an authorization URL and stops at the redirect.

Standard library only. The one invariant: the redirect URI itself is never opened; it belongs to the broker.
"""

from __future__ import annotations

import html
import re
import ssl
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_SECONDS = 30


class LoginPageError(Exception):
    """The cloud showed an error page in place of a redirect; the message is its text."""


def follow_login(
    authorization_url: str,
    ca_file: str | Path,
    *,
    user: str | None = None,
    answer: Literal["accept", "cancel", "forgot_password"] | None = "accept",
) -> str:
    """Sign in as `user` and return the redirect URL with its parameters, unopened. Blocking.

    `answer` None leaves the answer to the cloud's options. Raises: LoginPageError.
    """
    extra = {"sandbox_user": user, "sandbox_answer": answer}
    added = urlencode({name: value for name, value in extra.items() if value is not None})
    url = urlsplit(authorization_url)
    context = ssl.create_default_context(cafile=str(ca_file))
    browser = HTTPSConnection(url.hostname or "", url.port, timeout=_TIMEOUT_SECONDS, context=context)
    try:
        browser.request("GET", f"{url.path}?{url.query}&{added}")
        page = browser.getresponse()
        location = page.getheader("Location")
        if location is None:
            raise LoginPageError(_text(page.read().decode()))
        return location
    finally:
        browser.close()


def _text(page: str) -> str:
    """A page's text without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", " ", page)).strip()
