"""What time it is, as far as a process can know: by the machine's clock, the network, or the cloud's Date.

Knows the true time and every Date that was told; judges whether a wrong clock is told of. The one invariant: from the
first Date, or from when the network sets the clock, the process has no excuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.drill.script import DAY, MINUTE, UPSTREAM_SECONDS

if TYPE_CHECKING:
    from broker.drill.record import Record

DATES = 3  # of the cloud, after which a clock that is wrong must have been told of


class Belief:
    """`unsure`: when nobody could know the time, or the clock broke TLS."""

    def __init__(self, record: Record) -> None:
        self.unsure: list[tuple[float, float]] = []
        self.skew_told = False
        self._record = record
        self._since: float | None = None
        self._wall_is_wrong = False
        self._dates_while_wrong = 0

    @property
    def is_unsure(self) -> bool:
        """Whether nobody can know the time now."""
        return self._since is not None

    def clock_lost(self) -> None:
        """The machine boots with a clock that says the wrong time: until somebody tells it, nobody can know."""
        self._record.excuses.clock = self._wall_is_wrong = True
        self._since = self._record.clock.elapsed

    def date_told(self) -> None:
        """By the cloud: from now on the process knows what time it is."""
        self._known()
        wrong = abs(self._record.clock.wall_error_seconds)
        if wrong < MINUTE:
            self._dates_while_wrong, self.skew_told = 0, False
        elif wrong > 2 * MINUTE:
            self._dates_while_wrong += 1
        if self._dates_while_wrong == DATES and not self.skew_told:
            self._record.violate("a clock that is wrong is told", f"by {wrong:.0f} s")

    def clock_set(self) -> None:
        """The network has set the clock."""
        self._wall_is_wrong = False
        self._known()

    def call_made(self) -> None:
        """A call counts as made at the wrong time, if that is not known."""
        if self.is_unsure:
            self._record.excuses.ledger_until = self._record.clock.elapsed + DAY

    def process_ended(self) -> bool:
        """The cloud's Date dies with who heard it: whether nobody knows the time again."""
        if self._wall_is_wrong:
            self.clock_lost()
        return self._wall_is_wrong

    def finish(self) -> None:
        """The drill is over."""
        self._known()

    def _known(self) -> None:
        if self._since is not None:
            self.unsure.append((self._since, self._record.clock.elapsed + UPSTREAM_SECONDS))
            self._since = None
