"""The clients in the README work as they stand there, and fail as they should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.cli.exit_codes import of_code
from broker.errors import Code
from broker.sandbox import CloudThread
from tests.e2e.daemon import ROOT, Daemon, account, ticket
from tests.e2e.readme import blocks, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.readme import Block

pytestmark = pytest.mark.slow
CLIENTS = {block.label: block for block in blocks("Clients to paste")}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("clients")
    with CloudThread() as cloud, Daemon(directory, account(cloud, directory) + ticket()) as started:
        started.login(cloud)
        yield started


def command_of(block: Block, directory: Path) -> list[str]:
    """How a person would run what stands in the block."""
    source = directory / f"client.{block.language}"
    source.write_text(block.text)
    match block.language:
        case "sh":
            source.write_text(f'set -e\n{block.text}\n[ -z "${{TICKET:-}}" ] || echo "$TICKET"\n')
            return ["sh", str(source)]
        case "python":
            return [sys.executable, str(source)]
        case "js":
            return [shutil.which("node") or "node", str(source)]
        case "c":
            compiler = ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o", str(directory / "client")]
            subprocess.run([*compiler, str(source)], check=True)
            return [str(directory / "client")]
        case other:
            raise AssertionError(f"no way to run {other}")


def run(block: Block, socket_path: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    binaries = Path(sys.executable).parent
    environ = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "ELIOT_BROKER_SOCKET": str(socket_path),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        command_of(block, directory), env=environ, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("label", CLIENTS)
def test_a_client_to_paste_prints_a_ticket(daemon: Daemon, tmp_path: Path, label: str) -> None:
    found = run(CLIENTS[label], daemon.socket_path, tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == daemon.client.ticket("front-door").value


@pytest.mark.parametrize("label", [label for label in CLIENTS if label != "Python"])
def test_a_client_to_paste_fails_where_nobody_listens(tmp_path: Path, label: str) -> None:
    found = run(CLIENTS[label], tmp_path / "nobody.sock", tmp_path)
    assert found.returncode != 0
    assert "eyJ" not in found.stdout


def test_every_code_stands_in_the_table_with_its_exit_code() -> None:
    told = {code.strip(" `"): int(row[3]) for row in rows("When something is wrong") for code in row[0].split(",")}
    assert set(told) == {code.value for code in Code}
    assert told == {code: of_code(code) for code in told}
