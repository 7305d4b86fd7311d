"""The page at the end of a login as a real browser shows it; the screenshots stay in build/screenshots."""

from __future__ import annotations

import asyncio
import re
import shutil
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from broker.api.redirect_page import RedirectListener
from broker.errors import ResponseMismatch
from tests.e2e.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from broker.core.secret import Secret

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no headless Chromium here: apt-get install chromium-headless-shell"),
]
SHOTS = ROOT / "build" / "screenshots"
ACCOUNT = "home (Ada <b>Lovelace</b>)"


async def complete(response: Secret) -> str:
    if "code=good" not in response.reveal():
        raise ResponseMismatch("its state is not that of the pending login", hint="use the URL that was printed last")
    return ACCOUNT


@pytest.fixture
async def page() -> AsyncIterator[str]:
    listener = RedirectListener("127.0.0.1:0", frozenset({"/callback"}), complete)
    await listener.start()
    yield f"http://localhost:{listener.port}/callback"
    await listener.stop()


async def browse(url: str, profile: Path, *more: str) -> str:
    """Open the page in a fresh browser; what it writes."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=800,500", f"--user-data-dir={profile}"]
    process = await asyncio.create_subprocess_exec(
        BROWSER, *options, *more, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize(("name", "query"), [("logged-in", "?code=good&state=s"), ("failed", "?code=bad&state=s")])
async def test_the_page_is_drawn_and_kept_as_a_picture(page: str, tmp_path: Path, name: str, query: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    picture = SHOTS / f"login-{name}.png"
    picture.unlink(missing_ok=True)
    await browse(f"{page}{query}", tmp_path, f"--screenshot={picture}")
    width, height, shades = drawn(picture.read_bytes())
    assert (width, height) == (800, 500)
    assert shades > 8, "text was drawn: anti-aliased letters have many shades"


async def test_the_browser_shows_the_account_and_runs_or_asks_for_nothing(page: str, tmp_path: Path) -> None:
    shown = await browse(f"{page}?code=good&state=s", tmp_path, "--dump-dom")
    body = shown[shown.index("<body>") :]
    assert "Account home (Ada &lt;b&gt;Lovelace&lt;/b&gt;) is logged in" in body
    assert re.search(r"<(script|form|a|img|link|iframe|input)\b", shown) is None
    assert "code=good" not in shown


async def test_a_failure_says_what_to_do(page: str, tmp_path: Path) -> None:
    shown = await browse(f"{page}?code=bad&state=s", tmp_path, "--dump-dom")
    for text in ("The login failed", "Its state is not that of the pending login", "Use the URL that was printed last"):
        assert text in shown


@pytest.mark.parametrize(("theme", "least", "most"), [("light", 200, 255), ("dark", 0, 60)])
async def test_the_page_is_dark_where_the_person_wants_it_dark(
    page: str, tmp_path: Path, theme: str, least: int, most: int
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    picture = SHOTS / f"login-{theme}.png"
    chosen = [] if theme == "light" else ["--blink-settings=preferredColorScheme=0"]
    await browse(f"{page}?code=good&state=s", tmp_path, *chosen, f"--screenshot={picture}")
    assert least <= background(picture.read_bytes()) <= most


def background(png: bytes) -> int:
    """The red of the first pixel of a PNG with 8 bits a channel."""
    return rows_of(png)[1]


def drawn(png: bytes) -> tuple[int, int, int]:
    """Width, height and the number of different bytes in the first channel's rows of a PNG (RFC 2083)."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height, len(set(rows_of(png)))


def rows_of(png: bytes) -> bytes:
    """The rows, each behind its filter's number."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return zlib.decompress(data)
