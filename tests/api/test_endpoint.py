"""The socket file: never stolen, stale ones replaced, the right mode, and unlinked only where it is still ours."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from broker.api.endpoint import SocketInUse, adopt_socket, bind_socket
from broker.config import SocketConfig
from broker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def listening(path: Path) -> socket.socket:
    other = socket.socket(socket.AF_UNIX)
    other.bind(os.fspath(path))
    other.listen()
    return other


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_the_configured_one_whatever_the_umask(folder: Path, mode: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        endpoint = bind_socket(SocketConfig(path=folder / "s", mode=mode))
        assert stat.S_IMODE((folder / "s").stat().st_mode) == mode
        assert os.umask(umask) == umask
        endpoint.release()
    finally:
        os.umask(before)


def test_a_missing_directory_is_made_and_the_file_is_gone_after_release(folder: Path) -> None:
    path = folder / "run" / "s"
    endpoint = bind_socket(SocketConfig(path=path))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    endpoint.release()
    assert not path.exists()
    endpoint.release()


def test_a_stale_socket_is_replaced(folder: Path) -> None:
    listening(folder / "s").close()
    endpoint = bind_socket(SocketConfig(path=folder / "s"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(folder / "s"))
    endpoint.release()


def test_the_socket_of_a_living_broker_is_refused_not_stolen(folder: Path) -> None:
    first = bind_socket(SocketConfig(path=folder / "s"))
    with pytest.raises(SocketInUse, match="another process listens"):
        bind_socket(SocketConfig(path=folder / "s"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(folder / "s"))
    first.release()


def test_the_socket_of_a_stranger_is_refused_although_he_took_no_lock(folder: Path) -> None:
    with listening(folder / "s"), pytest.raises(SocketInUse):
        bind_socket(SocketConfig(path=folder / "s"))


def test_a_stranger_with_a_full_backlog_is_alive_too(folder: Path) -> None:
    with listening(folder / "s") as other, socket.socket(socket.AF_UNIX) as filler:
        other.listen(0)
        filler.connect(os.fspath(folder / "s"))
        with pytest.raises(SocketInUse):
            bind_socket(SocketConfig(path=folder / "s"))


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    (folder / "s").write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        bind_socket(SocketConfig(path=folder / "s"))
    assert (folder / "s").read_text() == "precious"


def test_a_refused_bind_leaves_no_lock_held(folder: Path) -> None:
    with listening(folder / "s"), pytest.raises(SocketInUse):
        bind_socket(SocketConfig(path=folder / "s"))
    bind_socket(SocketConfig(path=folder / "s")).release()


def test_a_group_that_is_not_there_is_a_configuration_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no group no-such-group"):
        bind_socket(SocketConfig(path=folder / "s", group="no-such-group"))
    assert not (folder / "s").exists()


def test_a_path_too_long_for_the_kernel_is_a_configuration_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="longer than 107 bytes"):
        bind_socket(SocketConfig(path=folder / ("a" * 100)))


def test_a_directory_that_cannot_be_had_is_a_configuration_error(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        bind_socket(SocketConfig(path=folder / "file" / "s"))


def test_a_file_that_another_put_in_its_place_is_not_unlinked(folder: Path) -> None:
    endpoint = bind_socket(SocketConfig(path=folder / "s"))
    (folder / "s").rename(folder / "kept")  # keeps its inode from being used again
    with listening(folder / "s"):
        endpoint.release()
        assert (folder / "s").exists()


def test_a_socket_given_by_the_service_manager_is_adopted_and_not_unlinked(folder: Path) -> None:
    given = listening(folder / "s")
    endpoint = adopt_socket(given.detach())
    assert endpoint.path is None
    assert not endpoint.socket.getblocking()
    endpoint.release()
    assert (folder / "s").exists()


def test_a_descriptor_that_is_no_listening_unix_socket_is_refused() -> None:
    with pytest.raises(ConfigError, match="no listening Unix stream socket"):
        adopt_socket(socket.socket(socket.AF_UNIX).detach())
    with pytest.raises(ConfigError, match="no listening Unix stream socket"):
        adopt_socket(socket.create_server(("127.0.0.1", 0)).detach())
    reader, writer = os.pipe()
    with pytest.raises(ConfigError, match="is no socket"):
        adopt_socket(reader)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("mode", "owner", "refused"),
    [
        (0o755, None, False),
        (0o1777, None, False),
        (0o2770, None, False),
        (0o777, None, True),
        (0o755, 12345, True),
        (0o700, 12345, True),
    ],
)
def test_nothing_listens_in_a_directory_where_others_could_put_another_socket(
    folder: Path, mode: int, owner: int | None, refused: bool
) -> None:
    if owner is not None and os.geteuid() != 0:
        pytest.skip("cannot run here: only root can give a directory away")
    place = folder / "place"
    place.mkdir()
    place.chmod(mode)
    if owner is not None:
        os.chown(place, owner, owner)
    if not refused:
        bind_socket(SocketConfig(path=place / "s", mode=0o600)).release()
        return
    with pytest.raises(ConfigError, match="another socket there"):
        bind_socket(SocketConfig(path=place / "s", mode=0o600))
    assert list(place.iterdir()) == []
