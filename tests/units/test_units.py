"""The systemd files: what is rendered, where it goes, and that the repository's copies are the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from broker.units import rendering
from broker.units.installation import (
    Installation,
    credential_names,
    kernel_version,
    program_path,
    published_groups,
    read_document,
)
from broker.units.placing import PlacingError, place, remove
from broker.units.rendering import render
from broker.units.sealing import existing_state_key, protected_by

SHIPPED = Path(__file__).parent.parent.parent / "systemd"
STANDARD = Installation(program=Path("/opt/eliot-broker/current/bin/eliot-broker"))
SERVICE = "etc/systemd/system/eliot-broker.service"


def shipped_name(path: str) -> str:
    """etc/sysusers.d/eliot-broker.conf is systemd/eliot-broker.sysusers in the repository, units keep their name."""
    part = Path(path)
    kind = part.parent.name
    return part.name if kind == "system" else f"eliot-broker.{kind.removesuffix('.d')}"


@pytest.mark.parametrize("path", render(STANDARD))
def test_the_repository_ships_what_is_rendered_for_the_standard_place(path: str) -> None:
    assert (SHIPPED / shipped_name(path)).read_text() == render(STANDARD)[path]


def test_a_directive_of_a_later_systemd_is_left_out_of_an_earlier_one() -> None:
    assert rendering._unmarked("@254 RestartMode=direct", STANDARD) is None
    assert rendering._unmarked("@254 A=b", replace(STANDARD, systemd_version=254)) == "A=b"


def test_other_users_processes_are_hidden_only_where_a_unit_is_found_without_them() -> None:
    assert "ProtectProc=invisible" in render(STANDARD)[SERVICE]
    for kernel in ((6, 1), (6, 12)):  # Debian 12's and 13's own
        assert "ProtectProc=" not in render(replace(STANDARD, kernel=kernel))[SERVICE]


def test_no_mark_and_no_brace_is_left_over() -> None:
    for each in (STANDARD, replace(STANDARD, of_user=True), replace(STANDARD, systemd_version=260)):
        for text in render(each).values():
            assert not re.search(r"(?<!\$)\{\w+\}", text)
            assert not [line for line in text.splitlines() if line.startswith("@")]


def test_a_service_of_a_user_has_no_account_no_sandbox_and_its_own_places() -> None:
    files = render(replace(STANDARD, of_user=True))
    service = files["systemd/user/eliot-broker.service"]
    assert "User=" not in service
    assert "ProtectSystem" not in service
    assert "%t/eliot-broker/broker.sock" in files["systemd/user/eliot-broker.socket"]
    assert not [name for name in files if name.startswith("etc")]


def test_paths_with_spaces_and_percent_signs_are_one_word() -> None:
    odd = replace(STANDARD, program=Path("/opt/my broker/50%/eliot-broker"), config=Path("/etc/x.toml"))
    assert 'ExecStart="/opt/my broker/50%%/eliot-broker" serve --config /etc/x.toml\n' in render(odd)[SERVICE]


def test_the_credentials_are_those_that_the_configuration_names() -> None:
    document = {
        "state": {"key": "credential:state-key"},
        "accounts": {"a": {"client_secret": "credential:a-secret", "api": {"subscription_key": "file:/x"}}},
    }
    assert credential_names(document) == ("state-key", "a-secret")
    assert credential_names({}) == ("state-key", "home-client-secret", "home-subscription-key")


def test_a_published_file_with_a_group_gets_a_directory_of_that_group() -> None:
    publish = {"path": "/run/eliot-broker/tickets/front.jwt", "group": "doorbell"}
    groups = published_groups({"tickets": {"front": {"publish": publish}, "back": {"publish": {"path": "/x/y"}}}})
    text = render(replace(STANDARD, groups=groups))["etc/tmpfiles.d/eliot-broker.conf"]
    assert "\nd /run/eliot-broker/tickets 2755 eliot-broker doorbell\n" in text


def test_the_program_is_named_by_the_link_that_stays(tmp_path: Path) -> None:
    prefix = tmp_path / "20260101"
    prefix.mkdir()
    assert program_path(prefix) == prefix / "bin/eliot-broker"
    (tmp_path / "current").symlink_to(prefix)
    assert program_path(prefix) == tmp_path / "current/bin/eliot-broker"
    (tmp_path / "older").mkdir()
    assert program_path(tmp_path / "older") == tmp_path / "older/bin/eliot-broker"


def test_a_configuration_that_was_named_must_be_readable_a_usual_one_need_not_be(tmp_path: Path) -> None:
    assert read_document(tmp_path / "none.toml", must_be=False) == {}
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "none.toml", must_be=True)


def test_kernel_versions() -> None:
    assert kernel_version("6.1.0-18-amd64") == (6, 1)
    assert kernel_version("odd") == (0, 0)


def test_files_are_written_once_and_replaced_only_after_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "etc/a"
    assert place({"etc/a": "one"}, tmp_path, lambda _: False) == {str(path): "written"}
    assert place({"etc/a": "one"}, tmp_path, lambda _: False) == {str(path): "unchanged"}
    assert place({"etc/a": "two"}, tmp_path, lambda _: False) == {str(path): "kept"}
    assert path.read_text() == "one"
    assert place({"etc/a": "two"}, tmp_path, lambda _: True) == {str(path): "replaced"}
    assert path.read_text() == "two"
    assert [each.name for each in path.parent.iterdir()] == ["a"]
    assert remove({"etc/a": "two"}, tmp_path) == {str(path): "removed"}
    assert remove({"etc/a": "two"}, tmp_path) == {str(path): "not there"}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("in the way")
    with pytest.raises(PlacingError, match="etc/a cannot be"):
        place({"etc/a": "one"}, tmp_path, lambda _: True)


def test_a_key_file_that_is_in_use_stays_the_key(tmp_path: Path) -> None:
    assert existing_state_key(tmp_path) is None
    (tmp_path / "state.key").write_text("k" * 64 + "\n")
    found = existing_state_key(tmp_path)
    assert found is not None
    assert found.reveal() == "k" * 64


def test_the_protecting_key_is_read_from_the_header() -> None:
    assert "host's key" in protected_by(b"Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAACSx/DzoSjemY7DH+8A\n")
    assert "TPM and" in protected_by(b"k6iUCUh0RJCQyvL8k8q1UyAAAAABAAAADAAAABAAAAC1lFmbWAqWZ8dCCQkA")
    assert "no sealed credential" in protected_by(b"secret!")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", ["eliot-broker.service", "eliot-broker-online.service"])
def test_the_sandbox_scores_at_most_1_3(unit: str) -> None:
    analyzed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=13", "--no-pager", SHIPPED / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert analyzed.returncode == 0, analyzed.stdout[-200:] + analyzed.stderr


def test_a_link_that_lies_where_the_draft_goes_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".a.service.eliot-broker.tmp").symlink_to(tmp_path / "precious")
    assert place({"a.service": "[Unit]\n"}, tmp_path, lambda _: True) == {str(tmp_path / "a.service"): "written"}
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "a.service").read_text() == "[Unit]\n"
