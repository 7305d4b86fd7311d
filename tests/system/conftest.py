"""One environment and one lab for all tests of this folder that only talk to the service."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.broker_lab import BrokerLab, build_wheels, install_broker
from tests.system.lab import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is of kind `system`, and says why where it cannot run."""
    missing = _missing()
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("anywhere"):
            item.add_marker(pytest.mark.system)
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root: it boots a systemd in namespaces"
    if shutil.which("systemctl") is None:
        return "needs a machine with systemd"
    ready = ["chroot", str(ROOT), "/usr/bin/python3", "-c", "import venv, ensurepip"]
    if subprocess.run(ready, capture_output=True, check=False).returncode:
        return "needs /usr/bin/python3 with venv (apt-get install python3-venv)"
    return None


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every wheel that an installation without a network needs."""
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """What systemd/install leaves in /opt/eliot-broker."""
    return install_broker(tmp_path_factory.mktemp("opt"), wheels)


@pytest.fixture(scope="session")
def session_lab(installed: Path, wheels: Path) -> Iterator[BrokerLab]:
    lab = BrokerLab("eliot", installed, wheels)
    try:
        lab.boot()
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(session_lab: BrokerLab) -> BrokerLab:
    """The service as it is after an installation and a login, whatever the test before did."""
    session_lab.reset()
    return session_lab
