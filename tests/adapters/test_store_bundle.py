"""A login moves from one machine to another and is whole in one place at every moment."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.adapters.state_key import StateKey
from broker.adapters.store import SealedStore
from broker.adapters.store_bundle import export_login, import_login, open_bundle, read_bundle, seal_bundle
from broker.core.secret import Secret
from broker.errors import StoreUnavailable
from tests.adapters.faulty_disk import Died, FaultyDisk

HERE, THERE, MEDIA = Path("/state"), Path("/other"), Path("/media")
BUNDLE = MEDIA / "home.login"
PASSPHRASE = Secret("correct horse battery staple")
QUICK = 4  # log2 of scrypt's n


def machines(seed: int = 0) -> tuple[FaultyDisk, SealedStore, SealedStore]:
    disk = FaultyDisk(random.Random(seed))
    for path in (HERE, THERE, MEDIA):
        disk.make_directory(path)
    here = SealedStore(HERE, disk, StateKey(b"h" * 32, ""), slot_bytes=512)
    there = SealedStore(THERE, disk, StateKey(b"t" * 32, ""), slot_bytes=512)
    here.save("account-home", b"the login")
    return disk, here, there


def test_a_login_moves_and_is_gone_where_it_was() -> None:
    disk, here, there = machines()
    export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    assert here.load("account-home") is None
    assert b"login" not in disk.read(BUNDLE)
    assert import_login(there, disk, BUNDLE, PASSPHRASE) == "account-home"
    assert there.load("account-home") == b"the login"
    assert disk.listdir(MEDIA) == []


@pytest.mark.slow
def test_the_cost_of_guessing_is_what_the_docstring_says() -> None:
    raw = seal_bundle("account-home", b"the login", PASSPHRASE)
    assert raw[4:7] == bytes([17, 8, 1])
    assert open_bundle(raw, PASSPHRASE) == ("account-home", b"the login")


@pytest.mark.parametrize("position", [0, 4, 5, 10, 30, 36, 40, -1])
def test_a_bundle_changed_anywhere_does_not_open_and_is_not_touched(position: int) -> None:
    disk, here, there = machines()
    export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    raw = bytearray(disk.read(BUNDLE))
    raw[position] ^= 0x40 if position == 4 else 1
    disk.damage(BUNDLE, 0, bytes(raw))
    with pytest.raises(StoreUnavailable, match="does not open"):
        import_login(there, disk, BUNDLE, PASSPHRASE)
    assert disk.read(BUNDLE) == bytes(raw)


def test_a_wrong_passphrase_does_not_open_it() -> None:
    disk, here, there = machines()
    export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    with pytest.raises(StoreUnavailable, match="wrong passphrase") as caught:
        import_login(there, disk, BUNDLE, Secret("another"))
    assert "another" not in str(caught.value)


def test_nothing_to_export_is_said() -> None:
    disk, here, _ = machines()
    with pytest.raises(StoreUnavailable, match="there is no login of that name here"):
        export_login(here, disk, "account-away", BUNDLE, PASSPHRASE, log2_n=QUICK)


def test_an_export_never_replaces_another_bundle() -> None:
    disk, here, _ = machines()
    disk.create(BUNDLE, seal_bundle("account-home", b"another login", PASSPHRASE, log2_n=QUICK))
    with pytest.raises(StoreUnavailable, match="holds something else"):
        export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    assert here.load("account-home") == b"the login"
    assert read_bundle(disk, BUNDLE, PASSPHRASE) == ("account-home", b"another login")


def test_an_import_replaces_a_login_only_when_told_to() -> None:
    disk, here, there = machines()
    there.save("account-home", b"present")
    export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    with pytest.raises(StoreUnavailable, match="holds account-home already"):
        import_login(there, disk, BUNDLE, PASSPHRASE)
    assert there.load("account-home") == b"present"
    import_login(there, disk, BUNDLE, PASSPHRASE, replace=True)
    assert there.load("account-home") == b"the login"


@given(after=st.integers(0, 8), seed=st.integers(0, 1000), power_loss=st.booleans(), fails=st.booleans())
@settings(deadline=None, max_examples=300)
def test_an_export_cut_short_anywhere_can_be_run_again(*, after: int, seed: int, power_loss: bool, fails: bool) -> None:
    disk, here, _ = machines(seed)
    if fails:
        disk.fail(after=after)
    else:
        disk.die(after=after)
    try:
        export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    except (Died, StoreUnavailable):
        disk.restart(power_loss=power_loss and not fails)
        here = SealedStore(HERE, disk, StateKey(b"h" * 32, ""))
        if here.load("account-home") is not None:
            export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    disk.restart()  # takes back a death that was not reached
    assert here.load("account-home") is None
    assert read_bundle(disk, BUNDLE, PASSPHRASE) == ("account-home", b"the login")


@given(after=st.integers(0, 12), seed=st.integers(0, 1000), power_loss=st.booleans())
@settings(deadline=None)
def test_an_import_cut_short_anywhere_can_be_run_again(*, after: int, seed: int, power_loss: bool) -> None:
    disk, here, there = machines(seed)
    export_login(here, disk, "account-home", BUNDLE, PASSPHRASE, log2_n=QUICK)
    disk.die(after=after)
    try:
        import_login(there, disk, BUNDLE, PASSPHRASE)
    except Died:
        disk.restart(power_loss=power_loss)
        there = SealedStore(THERE, disk, StateKey(b"t" * 32, ""))
        if BUNDLE.name in disk.listdir(MEDIA):
            import_login(there, disk, BUNDLE, PASSPHRASE)
    disk.restart()  # takes back a death that was not reached
    assert there.load("account-home") == b"the login"
