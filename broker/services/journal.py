"""The journal of one login: every change of the session is on disk before anybody acts on it.

Called from worker threads and from the loop, so a lock guards it. Knows the store, no provider. The invariants: a
change made for another login than the present one is dropped; what could not be written is kept and written later.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.core.session import Mark, Session, recovered
from broker.errors import StoreUnavailable
from broker.services.documents import decode_session, encode_session, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.core.instant import Instant
    from broker.ports import Store


class LoginGone(Exception):
    """The login was replaced or ended while the step was under way; its outcome is dropped."""


class Journal:
    """Holds and saves one account's session. Blocking: call `open`, `replace`, `update`, `flush` in the worker."""

    def __init__(self, document: str, store: Store, now: Callable[[], Instant]) -> None:
        self.document = document
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._saves = 0
        self._unsaved = False
        self.epoch = 0
        self.saved: Instant | None = None
        self.trouble: StoreUnavailable | None = None
        self.put_back: str | None = None
        self.age_at_start: float | None = None

    @property
    def session(self) -> Session | None:
        """The present login; None: logged out."""
        return self._session

    @property
    def unsaved(self) -> bool:
        """Whether the disk does not know the present login yet."""
        return self._unsaved

    def mark(self) -> Mark | None:
        """How far it has come; None: logged out."""
        session = self._session
        return None if session is None else Mark(session.login_id, self._saves)

    def compare(self, mark: Mark | None) -> None:
        """Hold what was read at the start against `mark`, kept elsewhere: `put_back` says what a backup undid."""
        present = self.mark()
        if mark is None or present is None or mark.login_id != present.login_id:
            return
        if mark.saves > present.saves:
            self.put_back = f"{mark.saves - present.saves} later saves of this login are missing from it"

    def open(self) -> None:
        """Read the document. Raises: StoreUnavailable, StoreDamaged."""
        found = read(self._store, self.document, decode_session)
        if found is None:
            return
        session, self.saved, self._saves = found
        now = self._now()
        with self._lock:
            self._session = recovered(session, now)
            self.age_at_start = now.since(self.saved)

    def replace(self, session: Session | None, *, if_epoch: int | None = None) -> None:
        """Begin another login, or none.

        `if_epoch`: only if none was begun or ended since. Raises: LoginGone, StoreUnavailable (the old one holds).
        """
        with self._lock:
            if if_epoch is not None and if_epoch != self.epoch:
                raise LoginGone
            if session is None:
                self._store.remove(self.document)
            else:
                self._store.save(self.document, encode_session(session, self._now(), 1))
            self._session, self._saves = session, 1
            self.epoch += 1
            self._unsaved, self.trouble = False, None
            self.put_back = self.age_at_start = None

    def update(self, login_id: str, change: Callable[[Session], Session], *, must_save: bool = False) -> Session:
        """Apply a change to this very login and save it.

        Where the disk refuses, the change holds in memory and is saved later; with `must_save` it does not hold.
        Raises: LoginGone, StoreUnavailable (only with must_save).
        """
        with self._lock:
            if self._session is None or self._session.login_id != login_id:
                raise LoginGone
            changed = change(self._session)
            try:
                self._save(changed)
            except StoreUnavailable:
                if must_save:
                    raise
            self._session = changed
            return changed

    def warned(self, login_id: str, threshold: str) -> None:
        """Remember a warning that was given; a login that is gone needs none."""
        with contextlib.suppress(LoginGone):
            self.update(login_id, lambda session: replace(session, warned=(*session.warned, threshold)))

    def flush(self) -> None:
        """Try again to save what could not be saved. Raises: StoreUnavailable."""
        with self._lock:
            if self._unsaved and self._session is not None:
                self._save(self._session)

    def _save(self, session: Session) -> None:
        try:
            self._store.save(self.document, encode_session(session, self._now(), self._saves + 1))
        except StoreUnavailable as error:
            self._unsaved, self.trouble = True, error
            raise
        self._saves += 1
        self._unsaved, self.trouble = False, None
