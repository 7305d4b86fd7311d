"""The audit trail: one event for each secret handed out and each request refused, counted where there are many.

Knows no HTTP and no aiohttp. The one invariant: the counts told add up to what happened, however fast it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from broker.errors import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.api.limits import Limits
    from broker.core.access import Peer
    from broker.core.secret import Secret
    from broker.ports import Events

MAX_WINDOWS = 4096
PATH_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Given:
    """What was handed out; `name` is the ticket's, or the account's whose id token it is."""

    kind: Literal["ticket", "id_token"]
    name: str
    secret: Secret
    generation: int | None
    remaining_seconds: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was asked and why it was refused; `path` without its query, `code` is a problem code."""

    method: str
    path: str
    code: str
    reason: str


class Window:
    """What one peer did of one kind lately: told one by one up to a burst, then counted in `untold`.

    As long as that is not 0 a caller who holds the window may add to it; at its end it is set to 0.
    """

    __slots__ = ("began", "facts", "since", "told", "untold")

    def __init__(self, since: float) -> None:
        self.began = since
        self.since = since
        self.told = 0
        self.untold = 0
        self.facts: dict[str, object] = {}


class Audit:
    """Tells served and refused requests; `now` is the loop's monotonic time in seconds.

    While something is `counting`, `flush` must be called now and then; `wake` asks for it.
    """

    def __init__(self, events: Events, limits: Limits, wake: Callable[[], None] = lambda: None) -> None:
        self._events = events
        self._burst = limits.audit_burst
        self._window_seconds = limits.audit_window_seconds
        self._wake = wake
        self._windows: dict[tuple[str, int, str], Window] = {}

    def served(self, peer: Peer, now: float, given: Given) -> Window:
        """Tell that `peer` was given this; the window it is counted in."""
        event = f"{given.kind}.served"
        window = self._window((event, peer.uid, given.name), now)
        if window.told >= self._burst:
            window.untold += 1
            if window.untold > 1:
                return window  # counted under the facts of the first of them: hashing each secret is the costly part
        facts: dict[str, object] = {
            "uid": peer.uid,
            "pid": peer.pid,
            "unit": peer.unit,
            "ticket" if given.kind == "ticket" else "account": given.name,
            "fingerprint": given.secret.fingerprint,
            "generation": given.generation,
            "remaining_seconds": given.remaining_seconds,
        }
        self._tell(event, window, facts)
        return window

    def refused(self, peer: Peer, now: float, refusal: Refusal) -> None:
        """Tell that `peer` asked for something and was refused."""
        if refusal.code == Code.RATE_LIMITED:
            self.limited(peer, now, refusal)
            return
        window = self._window(("request.refused", peer.uid, refusal.code), now)
        if window.told >= self._burst:
            window.untold += 1
        self._tell("request.refused", window, self._facts(peer, refusal))

    def limited(self, peer: Peer, now: float, refusal: Refusal) -> None:
        """Tell that `peer` ran into a limit: once when it begins, and how often when it has been over for a window."""
        window = self._window(("request.limited", peer.uid, refusal.reason), now)
        window.since = now
        if window.told:
            window.untold += 1
            return
        window.facts = self._facts(peer, refusal)
        window.told = 1
        self._events.emit("request.limited", count=1, **window.facts)

    @staticmethod
    def _facts(peer: Peer, refusal: Refusal) -> dict[str, object]:
        return {
            "uid": peer.uid,
            "pid": peer.pid,
            "unit": peer.unit,
            "method": refusal.method[:PATH_LENGTH],
            "path": refusal.path[:PATH_LENGTH],
            "code": refusal.code,
            "reason": refusal.reason,
        }

    @property
    def counting(self) -> bool:
        """Whether some window is not over."""
        return bool(self._windows)

    def flush(self, now: float | None = None) -> None:
        """Tell the counts of windows that are over; None: of all of them."""
        over = [k for k, w in self._windows.items() if now is None or now - w.since >= self._window_seconds]
        for key in over:
            self._close(key)

    def _window(self, key: tuple[str, int, str], now: float) -> Window:
        window = self._windows.get(key)
        if window is not None and now - window.since >= self._window_seconds:
            self._close(key)
            window = None
        if window is None:
            if len(self._windows) >= MAX_WINDOWS:
                self.flush()
            window = self._windows[key] = Window(now)
            self._wake()
        return window

    def _tell(self, event: str, window: Window, facts: dict[str, object]) -> None:
        if window.told >= self._burst:
            window.facts = facts
            return
        window.told += 1
        self._events.emit(event, count=1, **facts)

    def _close(self, key: tuple[str, int, str]) -> None:
        window = self._windows.pop(key)
        if window.untold:
            seconds = int(window.since - window.began) if key[0] == "request.limited" else int(self._window_seconds)
            self._events.emit(key[0], count=window.untold, window_seconds=seconds, **window.facts)
            window.untold = 0
