"""What a command writes where others may write: links and pipes that lie there are traps, and are not walked into."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from broker.cli.drill import _write
from broker.cli.failures import Failure
from broker.cli.whole_file import replace

if TYPE_CHECKING:
    from pathlib import Path


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "precious")
    replace(tmp_path / "a", "new", 0o600)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "a").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "precious"]


def test_a_picture_is_drawn_over_an_older_one(tmp_path: Path) -> None:
    _write(tmp_path / "drill.svg", "<svg/>")
    _write(tmp_path / "drill.svg", "<svg></svg>")
    assert (tmp_path / "drill.svg").read_text() == "<svg></svg>"


@pytest.mark.parametrize("trap", ["link", "dangling", "pipe", "device"])
def test_a_picture_is_drawn_over_nothing_else(tmp_path: Path, trap: str) -> None:
    path, precious = tmp_path / "drill.svg", tmp_path / "precious"
    match trap:
        case "link":
            precious.write_text("precious")
            path.symlink_to(precious)
        case "dangling":
            path.symlink_to(precious)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(os.devnull)
    with pytest.raises(Failure, match="no ordinary file"):
        _write(path, "<svg/>")
    assert not precious.exists() or precious.read_text() == "precious"
    assert not path.is_file() or path.is_symlink()
