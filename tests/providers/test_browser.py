"""One login with a real browser: headless Chromium on the certified provider's own pages."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.providers.holder import Holder
from tests.providers.houses import HERE, MODULES, REDIRECT_URI, House, missing
from tests.providers.ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow
TIMEOUT_SECONDS = 180


def browse(url: str) -> str:
    """The redirect URL that Chromium was sent to."""
    node = shutil.which("node")
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if node is None or chromium is None or not (MODULES / "playwright-core").is_dir():
        missing("Chromium, or npm's playwright-core")
    command = [node or "", str(HERE / "browser.mjs"), chromium or "", url, REDIRECT_URI]
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}
    found = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


async def test_a_person_with_a_real_browser_logs_in(house_of: Callable[[str], House], tmp_path: Path) -> None:
    way = next(way for way in WAYS if way.house == "oidc-provider")
    house = house_of(way.house)
    holder = Holder(way.account(house), tmp_path, environ=house.environ)
    pending = await holder.begin()
    await holder.finish(pending, browse(pending.authorization_url))
    await holder.refresh()
    assert holder.session.subject == "alice"
    holder.close()
