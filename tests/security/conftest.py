"""One real daemon that listens for its logins, for all tests of a module; each begins with `home` logged in."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import CloudThread, Options
from tests.security.login_port import LoginPort

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running() -> Iterator[LoginPort]:
    """The daemon; at its end its log tells of no defect."""
    with CloudThread(Options()) as cloud, tempfile.TemporaryDirectory(prefix="web-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        started = LoginPort(directory, cloud)
        with started.daemon:
            yield started
        told = [json.loads(line) for line in started.daemon.log().splitlines()]
        assert not [fact for fact in told if "traceback" in fact or fact["event"] == "defect.found"]


@pytest.fixture
def victim(running: LoginPort) -> LoginPort:
    """The daemon at peace: no login is pending, `home` is logged in, `office` never was."""
    running.end_logins()
    return running
