"""The README's first evening, as it stands: a ticket, a login that ends and its repair, a quota stop explained."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemon import ROOT
from tests.e2e.readme import blocks

if TYPE_CHECKING:
    from tests.e2e.readme import Block

pytestmark = pytest.mark.slow
CHAPTER = "The first evening"
JWT = re.compile(r"(?m)^eyJ[\w-]+\.[\w-]+\.[\w-]+$")


def told(label: str, language: str) -> list[Block]:
    found = [block for block in blocks(CHAPTER) if (block.label, block.language) == (label, language)]
    assert found, f"{CHAPTER}: {label} has no {language}"
    return found


def play(*labels: str, directory: Path) -> str:
    """Paste these blocks into one shell; everything that the person would see."""
    text = "\n".join(block.text for label in labels for block in told(label, "sh"))
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}
    run = subprocess.run(
        ["bash", "-c", f"set -u\ntrap 'kill $SANDBOX 2>/dev/null' EXIT\n{text}"],
        env={**environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        cwd=directory,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    return run.stdout


@pytest.mark.alone
def test_a_login_that_ended_is_explained_and_repaired() -> None:
    seen = play("A ticket", "The login ends, and is repaired", directory=ROOT)
    for line in told("The login ends, and is repaired", "text")[0].text.splitlines():
        assert line in seen, seen
    assert len(JWT.findall(seen)) == 2, "one ticket before, and one while the login was gone"
    assert "problems\n  account home: the login has ended" in seen
    assert seen.index("exit 4") < seen.index("logged in as")
    assert "login_required" not in seen[seen.index("logged in as 1111") + 200 :], "the last status knows no problem"


def test_a_quota_stop_is_explained(tmp_path: Path) -> None:
    seen = play("The quota is used up", directory=tmp_path)
    for line in told("The quota is used up", "text")[0].text.splitlines():
        assert line in seen, seen
    assert JWT.findall(seen) == []
    assert "no call for" in seen
