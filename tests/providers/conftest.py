"""The providers, each started once and only when a test asks for it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.providers.houses import AuthlibHouse, DjangoHouse, House, OidcProviderHouse, SandboxHouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture(scope="session")
def house_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], House]]:
    """The house of this name, up."""

    def directory() -> Path:
        return tmp_path_factory.mktemp("provider")

    makers: dict[str, Callable[[], AbstractContextManager[House]]] = {
        "sandbox": SandboxHouse,
        "sandbox, named": lambda: SandboxHouse(names=True),
        "oidc-provider": lambda: OidcProviderHouse(directory()),
        "oidc-provider, B2C's paths": lambda: OidcProviderHouse(directory(), shape="b2c"),
        "django-oauth-toolkit": lambda: DjangoHouse(directory()),
        "authlib": lambda: AuthlibHouse(directory()),
    }
    up: dict[str, House] = {}
    with ExitStack() as stack:

        def find(name: str) -> House:
            if name not in up:
                up[name] = stack.enter_context(makers[name]())
            return up[name]

        yield find
