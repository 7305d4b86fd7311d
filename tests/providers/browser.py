"""A browser without pictures: follows redirects, keeps cookies, fills in forms, and stops at the redirect URI.

It reads the providers' own pages as a person would: whatever hidden fields a form has are sent back. The one invariant:
the redirect URI itself is never opened.
"""

from __future__ import annotations

import http.cookiejar
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_STEPS = 15
TIMEOUT_SECONDS = 20


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, its fields with their values, and the names of its buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """What is shown; `landed` is the redirect to the application instead."""

    url: str
    text: str
    form: Form | None = None
    links: dict[str, str] = field(default_factory=dict)
    landed: str | None = None


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.form: Form | None = None
        self.links: dict[str, str] = {}
        self._link: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and self.form is None:
            self.form = Form(urljoin(self._url, found.get("action", "") or self._url))
        elif tag == "a" and "href" in found:
            self._link = urljoin(self._url, found["href"])
        elif tag in {"input", "button"} and self.form is not None and found.get("name"):
            is_button = tag == "button" or found.get("type") == "submit"
            (self.form.buttons if is_button else self.form.fields)[found["name"]] = found.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._link is not None and data.strip():
            self.links[data.strip(" \n[]")] = self._link
            self._link = None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_unused: Any) -> None:
        """Leave every redirect to us."""


class PlainBrowser:
    """One person's browser; `proxy` is an http:// URL, `cookies` those of a session that goes on."""

    def __init__(
        self,
        ca_file: Path,
        redirect_uri: str,
        *,
        proxy: str | None = None,
        cookies: http.cookiejar.CookieJar | None = None,
    ) -> None:
        self._redirect_uri = redirect_uri
        context = ssl.create_default_context(cafile=str(ca_file))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": proxy} if proxy else {}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar() if cookies is None else cookies),
            _Stay(),
        )

    def open(self, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> Page:
        """Go somewhere and follow the redirects, up to the application's own."""
        for _ in range(MOST_STEPS):
            request = urllib.request.Request(url, data=data, headers=dict(headers or {"Referer": url}))
            try:
                with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                    return _page(url, answer.read().decode())
            except urllib.error.HTTPError as error:
                with error:
                    location = error.headers.get("Location")
                    if location is None:
                        return _page(url, error.read().decode(errors="replace"))
            url, data = urljoin(url, location), None
            if url.startswith(self._redirect_uri):
                return Page(url, "", landed=url)
        raise AssertionError(f"more than {MOST_STEPS} redirects, now at {url}")

    def submit(self, page: Page, answers: Mapping[str, str], *, button: str | None = None) -> Page:
        """Fill in the page's form (fields it does not have are left out) and press `button`, if it has it."""
        assert page.form is not None, f"no form at {page.url}: {page.text[:500]}"
        filled = {name: answers.get(name, value) for name, value in page.form.fields.items()}
        if button in page.form.buttons:
            filled[button] = page.form.buttons[button]
        return self.open(page.form.action, urlencode(filled).encode(), {"Referer": page.url})

    def fill_until_landed(self, url: str, answers: Mapping[str, str], *, button: str | None = None) -> str:
        """Answer page after page alike; the redirect URL at the end."""
        page = self.open(url)
        for _ in range(MOST_STEPS):
            if page.landed is not None:
                return page.landed
            page = self.submit(page, answers, button=button)
        raise AssertionError(f"no end of pages, now at {page.url}: {page.text[:500]}")


def _page(url: str, text: str) -> Page:
    reader = _Reader(url)
    reader.feed(text)
    return Page(url, text, reader.form, reader.links)
