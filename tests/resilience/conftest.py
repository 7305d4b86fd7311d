"""One nursery for all tests of this folder: what it imports is the same for every broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.resilience.home import Home, Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as bearing:
        yield bearing


@pytest.fixture
def home(nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A home; `@pytest.mark.parametrize("home", [{…}], indirect=True)` gives its cloud options."""
    with Home(nursery, tmp_path, **getattr(request, "param", {})) as made:
        yield made
