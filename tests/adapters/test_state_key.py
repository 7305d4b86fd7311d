"""Keys: derived, made once, never replaced behind anybody's back, changed by rekey without a gap."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.disk import RealDisk
from broker.adapters.state_key import StateKey, open_key_file, stage_key_file, staged_key
from broker.adapters.store import SealedStore
from broker.adapters.store_rekey import rekey
from broker.core.secret import Secret
from broker.errors import ConfigError, StoreUnavailable
from tests.adapters.faulty_disk import Died, FaultyDisk

HERE = Path("/state")
NAMES = ("account-home", "tickets")


def test_a_key_shorter_than_32_bytes_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="state key from credential:state-key: 31 bytes, at least 32 are needed"):
        StateKey.from_secret(Secret("k" * 31), "credential:state-key")


def test_the_key_shows_its_id_and_source_and_nothing_else() -> None:
    key = StateKey.from_secret(Secret("k" * 32), "credential:state-key")
    assert repr(key) == f"<state key {key.key_id} from credential:state-key>"
    assert len(key.key_id) == 16


def test_the_derivation_is_the_one_that_files_out_there_were_sealed_with() -> None:
    assert StateKey(b"k" * 32, "").key_id == "a366d9391dea3b66"


def test_the_first_start_makes_a_key_and_the_next_reads_it(tmp_path: Path) -> None:
    first = open_key_file(tmp_path / "state", RealDisk())
    file = tmp_path / "state" / "state.key"
    assert first.source == f"file {file}"
    assert file.stat().st_mode & 0o777 == 0o600
    assert open_key_file(tmp_path / "state", RealDisk()).key_id == first.key_id
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["state.key"]


def test_the_file_moved_into_a_credential_is_the_same_key(tmp_path: Path) -> None:
    key = open_key_file(tmp_path, RealDisk())
    text = (tmp_path / "state.key").read_text().removesuffix("\n")
    assert StateKey.from_secret(Secret(text), "credential:state-key").key_id == key.key_id


def test_racers_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: open_key_file(tmp_path / "state", RealDisk()).key_id, range(16)))
    assert len(set(keys)) == 1


def test_a_missing_key_beside_sealed_files_is_never_replaced() -> None:
    disk = FaultyDisk(random.Random(0))
    key = open_key_file(HERE, disk)
    SealedStore(HERE, disk, key).save("tickets", b"x")
    disk.unlink(HERE / "state.key")
    with pytest.raises(StoreUnavailable, match=r"state\.key is missing beside 1 sealed file ") as caught:
        open_key_file(HERE, disk)
    assert caught.value.hint is not None
    assert "restore state.key" in caught.value.hint
    assert disk.listdir(HERE) == ["tickets.sealed"]


@given(after=st.integers(0, 9), seed=st.integers(0, 1000), power_loss=st.booleans())
@settings(deadline=None)
def test_a_first_start_that_dies_anywhere_leaves_a_whole_key_or_none(
    *, after: int, seed: int, power_loss: bool
) -> None:
    disk = FaultyDisk(random.Random(seed))
    disk.die(after=after)
    try:
        made = open_key_file(HERE, disk).key_id
        SealedStore(HERE, disk, StateKey(b"k" * 32, ""))  # no step: the key was acknowledged
    except Died:
        made = None
    disk.restart(power_loss=power_loss)
    assert open_key_file(HERE, disk).key_id == made or made is None


def rekeyed_state(seed: int) -> tuple[FaultyDisk, StateKey]:
    disk = FaultyDisk(random.Random(seed))
    old = open_key_file(HERE, disk)
    store = SealedStore(HERE, disk, old, slot_bytes=512)
    for name in NAMES:
        store.save(name, b"before")
        store.save(name, name.encode())
    return disk, old


def loaded(disk: FaultyDisk) -> list[bytes | None]:
    """What a broker that starts now finds, with the keys that it finds."""
    staged = staged_key(HERE, disk)
    store = SealedStore(HERE, disk, open_key_file(HERE, disk), also=(staged,) if staged else ())
    return [store.load(name) for name in NAMES]


def test_after_a_rekey_only_the_new_key_opens() -> None:
    disk, old = rekeyed_state(0)
    new = stage_key_file(HERE, disk)
    assert rekey(HERE, disk, old, new) == list(NAMES)
    assert open_key_file(HERE, disk).key_id == new.key_id
    assert staged_key(HERE, disk) is None
    assert loaded(disk) == [name.encode() for name in NAMES]
    with pytest.raises(StoreUnavailable, match="sealed with key"):
        SealedStore(HERE, disk, old).load("tickets")


def test_a_rekey_to_a_configured_secret_leaves_the_old_key_file_for_old_backups() -> None:
    disk, old = rekeyed_state(0)
    new = StateKey.from_secret(Secret("n" * 32), "credential:state-key")
    rekey(HERE, disk, old, new)
    assert [SealedStore(HERE, disk, new).load(name) for name in NAMES] == [name.encode() for name in NAMES]
    assert open_key_file(HERE, disk).key_id == old.key_id


@given(after=st.integers(0, 30), seed=st.integers(0, 1000), power_loss=st.booleans())
@settings(deadline=None)
def test_a_rekey_that_dies_anywhere_leaves_all_documents_and_can_be_ended(
    *, after: int, seed: int, power_loss: bool
) -> None:
    disk, old = rekeyed_state(seed)
    new = stage_key_file(HERE, disk)
    disk.die(after=after)
    try:
        rekey(HERE, disk, old, new)
    except Died:
        disk.restart(power_loss=power_loss)
    disk.restart()
    assert loaded(disk) == [name.encode() for name in NAMES]
    if staged_key(HERE, disk) is not None:
        rekey(HERE, disk, open_key_file(HERE, disk), stage_key_file(HERE, disk))
    assert open_key_file(HERE, disk).key_id == new.key_id
    assert loaded(disk) == [name.encode() for name in NAMES]
