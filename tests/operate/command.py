"""The command as a process of its own, as a person at a shell has it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.e2e.daemon import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def run(
    *arguments: str, socket: Path | None = None, given: str = "", environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `eliot-broker ARGUMENTS`, with `given` on its stdin."""
    known = {"PATH": os.environ["PATH"], **({} if socket is None else {"ELIOT_BROKER_SOCKET": str(socket)})}
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        env={**known, **(environ or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=ROOT,
    )
