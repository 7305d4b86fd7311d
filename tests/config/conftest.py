from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .sample import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    here = Place(tmp_path, {"HOME": "/home/somebody", "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    here.write("client-secret", "a client secret\n")
    here.write("subscription-key", "0123456789abcdef\n")
    here.write("credentials/state-key", "0123456789abcdef0123456789abcdef\n", 0o400)
    return here
