"""A broker.toml that is right, its secrets, and ways to make it wrong; the tests of this folder start from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from broker.config.file import read_config
from broker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from broker.config import Config

PLANT = "7e7b1b62-1111-4222-8333-444455556666"
DEVICE = "2a1c90e4-1111-4222-8333-444455556666"
EXAMPLE_ID = "00000000-0000-0000-0000-000000000000"
CANARY = "k4narienvogel-k4narienvogel-k4narienvogel"

ACCOUNT = '[accounts.home]\nprovider = "partner"\nclient_id = "app"\nclient_secret = "file:client-secret"\n'
API = '[accounts.home.api]\nsubscription_key = "file:subscription-key"\n'
TICKET = f'[tickets.door]\naccount = "home"\nplant_id = "{PLANT}"\ndevice_id = "{DEVICE}"\n'
GOOD = ACCOUNT + API + TICKET


@dataclass(frozen=True)
class Place:
    """A directory with a configuration file and its secrets; `environ` is the environment of the process."""

    directory: Path
    environ: dict[str, str]

    @property
    def file(self) -> Path:
        return self.directory / "broker.toml"

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def read(self, content: str | bytes = GOOD, *, previous: Config | None = None) -> Config:
        self.write("broker.toml", content)
        return read_config(self.file, self.environ, previous=previous, user_id=1000)

    def problems(self, content: str | bytes) -> list[str]:
        """The problems of this content, each without the file's name in front."""
        with pytest.raises(ConfigError) as caught:
            self.read(content)
        prefix = f"{self.file}: "
        assert all(line.startswith(prefix) for line in caught.value.problems)
        assert all(line in str(caught.value) for line in caught.value.problems)
        return [line.removeprefix(prefix) for line in caught.value.problems]
