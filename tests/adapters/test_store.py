"""The sealed store over both disks, in good weather and in bad."""

from __future__ import annotations

import errno
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.disk import RealDisk
from broker.adapters.state_key import StateKey
from broker.adapters.store import DEFAULT_SLOT_BYTES, SealedStore
from broker.core.envelope import HEADER_BYTES, parse_header
from broker.errors import StoreDamaged, StoreUnavailable
from tests.adapters.faulty_disk import Died, FaultyDisk

if TYPE_CHECKING:
    from broker.ports import Disk

KEY = StateKey(b"k" * 32, "test")
OTHER_KEY = StateKey(b"o" * 32, "test")
HERE = Path("/state")
FILE = HERE / "account-home.sealed"
SLOT = 1024


def faulty(seed: int = 0) -> FaultyDisk:
    disk = FaultyDisk(random.Random(seed))
    disk.make_directory(HERE)
    return disk


def store_on(disk: Disk, key: StateKey = KEY, *, also: tuple[StateKey, ...] = ()) -> SealedStore:
    return SealedStore(HERE, disk, key, also=also, slot_bytes=SLOT)


def two_copies(disk: FaultyDisk) -> None:
    """First slot `newer` (sequence 3), second slot `older` (sequence 2)."""
    store = store_on(disk)
    for content in (b"oldest", b"older", b"newer"):
        store.save("account-home", content)


@pytest.fixture(params=["real", "faulty"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SealedStore:
    disk: Disk = RealDisk() if request.param == "real" else FaultyDisk(random.Random(0))
    store = SealedStore(tmp_path / "state", disk, KEY)
    store.prepare()
    return store


# the port's contract


def test_a_document_that_never_was_is_none(store: SealedStore) -> None:
    assert store.load("tickets") is None
    assert store.sequence("tickets") is None
    assert store.names() == []


@pytest.mark.parametrize("size", [0, 1, 1000, DEFAULT_SLOT_BYTES - 64, DEFAULT_SLOT_BYTES, 3_000_000])
def test_what_was_saved_is_loaded(store: SealedStore, size: int) -> None:
    content = random.Random(size).randbytes(size)
    store.save("tickets", b"before")
    store.save("tickets", content)
    assert store.load("tickets") == content
    store.save("tickets", b"after")
    assert store.load("tickets") == b"after"
    assert store.sequence("tickets") == 3


def test_documents_do_not_meet(store: SealedStore) -> None:
    store.save("account-home", b"1")
    store.save("tickets", b"2")
    assert (store.load("account-home"), store.load("tickets")) == (b"1", b"2")
    assert store.names() == ["account-home", "tickets"]
    store.remove("tickets")
    store.remove("tickets")
    assert store.load("tickets") is None
    assert store.names() == ["account-home"]


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "a b", "ü"])
def test_a_name_that_could_leave_the_directory_is_a_bug(store: SealedStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a document name"):
        store.save(name, b"")


# on the real file system


def test_the_file_holds_nothing_in_the_clear_and_is_fully_allocated(tmp_path: Path) -> None:
    store = SealedStore(tmp_path, RealDisk(), KEY)
    store.save("account-home", b"the refresh token")
    file = tmp_path / "account-home.sealed"
    assert b"refresh" not in file.read_bytes()
    assert file.stat().st_size == 2 * DEFAULT_SLOT_BYTES
    assert file.stat().st_blocks * 512 >= 2 * DEFAULT_SLOT_BYTES
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_update_keeps_the_file_and_the_newest_copy_in_it(tmp_path: Path) -> None:
    store = SealedStore(tmp_path, RealDisk(), KEY)
    file = tmp_path / "account-home.sealed"
    store.save("account-home", b"1")
    inode, before = file.stat().st_ino, file.read_bytes()
    store.save("account-home", b"2")
    after = file.read_bytes()
    assert file.stat().st_ino == inode
    assert after[:DEFAULT_SLOT_BYTES] == before[:DEFAULT_SLOT_BYTES]
    assert after[DEFAULT_SLOT_BYTES:] != before[DEFAULT_SLOT_BYTES:]


# binding


def test_a_renamed_file_does_not_open() -> None:
    disk = faulty()
    store_on(disk).save("account-home", b"home")
    disk.rename(FILE, HERE / "account-other.sealed")
    with pytest.raises(StoreDamaged):
        store_on(disk).load("account-other")


def test_a_header_from_another_slot_does_not_open_the_content() -> None:
    disk = faulty()
    two_copies(disk)
    disk.damage(FILE, 0, disk.read(FILE)[SLOT : SLOT + HEADER_BYTES])
    assert store_on(disk).load("account-home") == b"older"


def test_a_changed_sequence_does_not_open_even_with_its_crc_made_right() -> None:
    disk = faulty()
    two_copies(disk)
    header = parse_header(disk.read(FILE))
    assert header is not None
    forged = type(header)(header.slot_bytes, header.key_id, 99, header.content_bytes, header.nonce)
    disk.damage(FILE, 0, forged.pack())
    assert store_on(disk).load("account-home") == b"older"


# damage


def test_where_one_copy_is_damaged_the_other_serves_and_it_is_told() -> None:
    disk = faulty()
    two_copies(disk)
    disk.damage(FILE, HEADER_BYTES, b"\0\0\0")
    told: list[tuple[str, str]] = []
    store = SealedStore(HERE, disk, KEY, report=lambda name, reason: told.append((name, reason)))
    assert store.load("account-home") == b"older"
    assert told == [("account-home", "content does not authenticate")]
    store.save("account-home", b"next")
    assert store_on(disk).load("account-home") == b"next"


@given(st.integers(0, 1), st.integers(0, SLOT - 1), st.binary(min_size=1, max_size=SLOT))
@settings(deadline=None)
def test_any_damage_to_one_slot_leaves_the_other(slot: int, offset: int, rot: bytes) -> None:
    disk = faulty()
    two_copies(disk)
    disk.damage(FILE, slot * SLOT + offset, rot[: SLOT - offset])
    assert store_on(disk).load("account-home") in ({b"newer", b"older"} if slot == 0 else {b"newer"})


def test_a_file_with_both_copies_damaged_is_set_aside_and_never_overwritten() -> None:
    disk = faulty()
    asides = []
    for _ in range(3):
        two_copies(disk)
        for at in (HEADER_BYTES, SLOT + HEADER_BYTES):
            disk.damage(FILE, at, bytes([disk.read(FILE)[at] ^ 0xFF]))  # a byte that is another for sure
        asides.append(disk.read(FILE))
        with pytest.raises(StoreDamaged, match=r"is damaged \(.+ authenticate.+\); set aside as"):
            store_on(disk).load("account-home")
        assert store_on(disk).load("account-home") is None
    assert [disk.read(HERE / f"account-home.sealed.damaged-{n}") for n in (1, 2, 3)] == asides
    assert store_on(disk).names() == []


def test_a_document_that_opens_and_is_not_understood_is_set_aside_whole() -> None:
    disk = faulty()
    two_copies(disk)
    before = disk.read(FILE)
    store = store_on(disk)
    assert "set aside as account-home.sealed.damaged-1" in str(store.set_aside("account-home", "not understood"))
    assert disk.read(HERE / "account-home.sealed.damaged-1") == before
    store.save("account-home", b"another")
    assert store_on(disk).load("account-home") == b"another"


@pytest.mark.parametrize("length", [0, 1, HEADER_BYTES, HEADER_BYTES + 3])
def test_a_file_cut_short_in_its_first_slot_is_set_aside(length: int) -> None:
    disk = faulty()
    two_copies(disk)
    disk.cut(FILE, length)
    with pytest.raises(StoreDamaged):
        store_on(disk).load("account-home")
    assert disk.listdir(HERE) == ["account-home.sealed.damaged-1"]


@pytest.mark.parametrize("length", [SLOT, SLOT + 1, 2 * SLOT - 1])
def test_a_file_cut_short_in_its_second_slot_is_made_whole_by_the_next_save(length: int) -> None:
    disk = faulty()
    two_copies(disk)
    disk.cut(FILE, length)
    store = store_on(disk)
    assert store.load("account-home") == b"newer"
    store.save("account-home", b"next")
    assert len(disk.read(FILE)) == 2 * SLOT
    assert store_on(disk).load("account-home") == b"next"


# keys and versions


def test_a_wrong_key_names_both_and_touches_nothing() -> None:
    disk = faulty()
    two_copies(disk)
    before = disk.read(FILE)
    told = f"{KEY.key_id}.*{OTHER_KEY.key_id}.*nothing was touched"
    with pytest.raises(StoreUnavailable, match=told):
        store_on(disk, OTHER_KEY).load("account-home")
    with pytest.raises(StoreUnavailable, match=told):
        store_on(disk, OTHER_KEY).save("account-home", b"x")
    assert disk.read(FILE) == before
    assert disk.listdir(HERE) == [FILE.name]


def test_a_second_key_opens_too_and_saves_go_under_the_first() -> None:
    disk = faulty()
    two_copies(disk)
    store = store_on(disk, OTHER_KEY, also=(KEY,))
    assert store.load("account-home") == b"newer"
    store.save("account-home", b"next")
    assert store_on(disk, OTHER_KEY).load("account-home") == b"next"
    with pytest.raises(StoreUnavailable):  # what this key opens is older than what the other wrote
        store_on(disk, KEY).load("account-home")


@pytest.mark.parametrize("slot", [0, 1])
def test_a_newer_version_is_not_touched(slot: int) -> None:
    disk = faulty()
    two_copies(disk)
    header = parse_header(disk.read(FILE)[slot * SLOT :])
    assert header is not None
    newer = type(header)(header.slot_bytes, header.key_id, 9, header.content_bytes, header.nonce, version=2)
    disk.damage(FILE, slot * SLOT, newer.pack())
    before = disk.read(FILE)
    with pytest.raises(StoreUnavailable, match="format version 2, this program knows 1; nothing was touched"):
        store_on(disk).load("account-home")
    assert disk.read(FILE) == before


# a disk that fails


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.EROFS, errno.ENOSPC])
def test_a_failing_disk_is_told_in_words_and_forgotten_when_it_recovers(error: int) -> None:
    disk = faulty()
    two_copies(disk)
    store = store_on(disk)
    disk.always = error
    with pytest.raises(StoreUnavailable, match=errno.errorcode[error]):
        store.load("account-home")
    with pytest.raises(StoreUnavailable, match=errno.errorcode[error]):
        store.save("account-home", b"x")
    with pytest.raises(StoreUnavailable, match=errno.errorcode[error]):
        store.names()
    disk.always = None
    assert store.load("account-home") == b"newer"
    store.save("account-home", b"next")
    assert store_on(disk).load("account-home") == b"next"


def test_an_update_allocates_nothing_so_a_full_disk_does_not_matter() -> None:
    disk = faulty()
    two_copies(disk)
    store = store_on(disk)
    store.load("account-home")
    done = len(disk.log)
    store.save("account-home", b"next")
    assert not [step for step in disk.log[done:] if step.startswith(("create", "rename"))]


def test_failing_updates_never_touch_the_newest_copy() -> None:
    disk = faulty()
    store = store_on(disk)
    store.save("account-home", b"good")
    for _ in range(5):
        disk.fail(after=1)  # the fsync
        with pytest.raises(StoreUnavailable):
            store.save("account-home", b"bad")
    assert store.load("account-home") == b"good"
    disk.restart(power_loss=True)
    assert store_on(disk).load("account-home") in {b"good", b"bad"}


def test_a_copy_whose_fsync_failed_is_not_served_though_the_cache_has_it_whole() -> None:
    disk = faulty()
    store = store_on(disk)
    store.save("account-home", b"good")
    disk.fail(after=1)  # the fsync
    disk.fail(after=2, error=errno.EROFS)  # and taking the copy back
    with pytest.raises(StoreUnavailable):
        store.save("account-home", b"bad")
    assert store.load("account-home") == b"good"


def test_a_later_process_does_not_take_it_for_the_newest_either() -> None:
    disk = faulty()
    store = store_on(disk)
    store.save("account-home", b"good")
    disk.fail(after=1)  # the fsync
    with pytest.raises(StoreUnavailable):
        store.save("account-home", b"bad")
    assert store_on(disk).load("account-home") == b"good"


def test_what_an_interrupted_creation_left_is_cleared() -> None:
    disk = faulty()
    disk.die(after=2)  # the fsync
    store = store_on(disk)
    with pytest.raises(Died):
        store.save("tickets", b"x")
    disk.restart()
    assert disk.listdir(HERE) == ["tickets.sealed.tmp"]
    store = store_on(disk)
    store.prepare()
    assert disk.listdir(HERE) == []
    assert store.load("tickets") is None
