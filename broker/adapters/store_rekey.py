"""Sealing the state anew under another key, so that a crash at any step loses nothing and running it again ends it.

Each document is replaced whole (written aside, fsynced, renamed); until the last one is, some open under the old key
and some under the new. The one invariant: the key file is replaced after the last document, never before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.adapters.state_key import promote_key_file, staged_key
from broker.adapters.store import SealedStore

if TYPE_CHECKING:
    from pathlib import Path

    from broker.adapters.state_key import StateKey
    from broker.ports import Disk


def rekey(directory: Path, disk: Disk, old: StateKey, new: StateKey) -> list[str]:
    """Seal every document under `new` and return their names; the caller holds the state lock.

    `new` is a configured secret, or the key of `stage_key_file`, whose file then becomes `state.key`. Can be run
    again after a crash with the same keys. Raises: StoreUnavailable, StoreDamaged (that document was set aside: run
    again for the rest).
    """
    store = SealedStore(directory, disk, new, also=(old,))
    store.prepare()
    names = store.names()
    for name in names:
        store.reseal(name)
    staged = staged_key(directory, disk)
    if staged is not None and staged.key_id == new.key_id:
        promote_key_file(directory, disk)
    return names
