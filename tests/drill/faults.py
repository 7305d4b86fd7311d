"""Faults that were planted in the real code, one at a time, and the seed of the hostile month that finds each.

A fault is a text of the code and what stands in its place, in a copy of the package; nothing is patched in a process.
`seed` None: not hunted yet. `python -m tests.drill.faults` hunts for all of them and prints the table.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "broker"
HUNT_SECONDS = 900.0


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    seed: int | None = None

    def plant(self, package: Path) -> None:
        """Into a copy. Raises: LookupError where the code has changed and the fault must be written anew."""
        path = package / self.file
        text = path.read_text("utf-8")
        for old, new in self.changes:
            if text.count(old) != 1:
                raise LookupError(f"{self.name}: stands {text.count(old)} times in {self.file}: {old!r}")
            text = text.replace(old, new)
        path.write_text(text, "utf-8")


def fault(name: str, file: str, *changes: tuple[str, str], seed: int | None = None) -> Fault:
    return Fault(name, file, changes, seed)


FAULTS = (
    fault(
        "a retry at once",
        "core/failure.py",
        ("return max(SHORTEST_DELAY_SECONDS, pace.first / 2, ceiling * luck)", "return 0.0"),
    ),
    fault(
        "Retry-After ignored",
        "core/failure.py",
        ("    if told is not None:\n        seconds =", "    if told == -1:\n        seconds ="),
    ),
    fault(
        "backoff that does not grow",
        "core/failure.py",
        ("    count = 1 if previous is None else previous.count + 1", "    count = 1"),
    ),
    fault("backoff that grows for hours", "core/failure.py", ("Pace(2.0, 300.0)", "Pace(1800.0, 14_400.0)")),
    fault("a gateway that is offline given up for a day", "core/failure.py", ("Pace(30.0, 900.0)", "Pace(9e4, 9e4)")),
    fault(
        "jitter drawn at each look",
        "core/freshness.py",
        ("margin * (1 - JITTER * jitter)", 'margin * (1 - __import__("random").random())'),
    ),
    fault("tickets renewed at the last moment", "core/freshness.py", ("TICKET_MARGIN = 1 / 3", "TICKET_MARGIN = 0.02")),
    fault("id tokens renewed at their end", "core/freshness.py", ("ID_TOKEN_AGE = 0.5", "ID_TOKEN_AGE = 0.99")),
    fault(
        "what has expired is served",
        "core/freshness.py",
        ("if remaining <= windows.mandatory_seconds:", "if remaining <= -1e12:"),
    ),
    fault(
        "a misfire dropped",
        "services/maintenance.py",
        (
            "        self._timekeeper.watch()\n",
            """        self._timekeeper.watch()
        boot = self._timekeeper.now().boot_seconds
        if boot > getattr(self, "_next", boot) + 60:
            return 1e9
""",
        ),
        (
            "        return self.due_in()\n",
            "        self._next = boot + self.due_in()\n        return self._next - boot\n",
        ),
    ),
    fault(
        "the journal dropped",
        "services/journal.py",
        (
            "            self._store.save(self.document, encode_session(session, self._now(), self._saves + 1))",
            "            encode_session(session, self._now(), self._saves + 1)",
        ),
    ),
    fault(
        "the backoff of a refresh not persisted",
        "services/documents.py",
        ('            "failure": failure_to(session.failure),', '            "failure": None,'),
    ),
    fault(
        "a rejected token sent again",
        "core/session.py",
        ("if token is not None and token.digest not in self.rejected:", "if token is not None:"),
    ),
    fault(
        "a rotated token not taken over",
        "core/session.py",
        ("newest, previous = new, sent", "newest, previous = sent, sent"),
    ),
    fault(
        "a captive portal costs the login",
        "services/exchange.py",
        (
            "        except GrantRejected:\n            raise\n",
            """        except (GrantRejected, InvalidResponse) as it:
            raise GrantRejected(str(it), service=SERVICE) from None
""",
        ),
    ),
    fault(
        "the quota not persisted", "services/book.py", ("_ledger_to(self.ledger)", "_ledger_to(Ledger(self._now()))")
    ),
    fault(
        "calls not counted",
        "services/calls.py",
        ("        self.book.ledger = quota.recorded(self.book.ledger, now)\n", ""),
    ),
    fault(
        "what the cloud says to the account not kept",
        "services/calls.py",
        ("            self._note(error, runway_seconds)\n", ""),
    ),
    fault(
        "every 401 forces a refresh",
        "services/calls.py",
        ("        return ticket.name not in self._refused and token.generation != self._forced", "        return True"),
    ),
    fault(
        "expiry by the wall clock",
        "services/timekeeper.py",
        ("reading.boot_seconds, self._believed(reading))", "reading.wall_seconds - 1.7e9, self._believed(reading))"),
    ),
    fault(
        "a clock of 1970 believed",
        "services/timekeeper.py",
        ("return reading.wall_seconds if plausible else None", "return reading.wall_seconds"),
    ),
    fault(
        "a ticket shown before it is saved, and never saved",
        "services/renewal.py",
        ("        self._observe()\n        await self._book.commit(self.name)\n", "        self._observe()\n"),
    ),
    fault(
        "a single-use ticket not marked",
        "services/pool.py",
        ("page.held = tuple(each for each in page.held if each is not held)", "page.held = tuple(page.held)"),
    ),
    fault(
        "a single-use ticket answered before its mark is saved",
        "services/pool.py",
        ("        saved = await self._book.commit(self.name)\n", "        saved = True\n"),
    ),
    fault(
        "a stale ticket withheld",
        "services/refreshable.py",
        ("{Freshness.FRESH, Freshness.STALE}", "{Freshness.FRESH}"),
    ),
    fault(
        "two flights at once",
        "services/refreshable.py",
        ("if self._flight is None or self._flight.done():", "if True:"),
    ),
    fault(
        "no warning before a login ends",
        "core/runway.py",
        ("    if left is None or left <= 0:\n        return None\n", "    return None\n"),
    ),
    fault(
        "a runway promised twice as long",
        "services/account.py",
        ("return min(warm) if warm else None", "return 2 * min(warm) if warm else None"),
    ),
    fault(
        "what could not be saved is forgotten",
        "services/account.py",
        ("        if self.book.unsaved:\n", "        if False:\n"),
    ),
    fault(
        "a failure that outlives its success",
        "services/refreshable.py",
        ("        self.value = value\n        self.failure = None\n", "        self.value = value\n"),
    ),
)


def play(package: Path, first: int, last: int) -> tuple[int, str] | None:
    """The first seed in [first, last) under which this copy breaks a promise, and the rules; None: none does."""
    command = [sys.executable, "-m", "broker.drill.hunt", str(first), str(last)]
    try:
        done = subprocess.run(
            command, cwd=package.parent, capture_output=True, text=True, timeout=HUNT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return first, "it does not end"
    if done.returncode == 0:
        return None
    if not done.stdout:
        raise RuntimeError(done.stderr[-2000:])
    seed, _, rules = done.stdout.strip().partition(" ")
    return int(seed), rules


def hunt(it: Fault, first: int, last: int) -> tuple[int, str] | None:
    """The first seed in [first, last) that finds the fault and under which the code without it keeps every promise."""
    with tempfile.TemporaryDirectory() as directory:
        planted = Path(directory) / "planted" / "broker"
        clean = Path(directory) / "clean" / "broker"
        for copy in (planted, clean):
            shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        it.plant(planted)
        while first < last:
            found = play(planted, first, last)
            if found is None or play(clean, found[0], found[0] + 1) is None:
                return found
            first = found[0] + 1
    return None


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for each in FAULTS:
        if not wanted or any(word in each.name for word in wanted):
            found = hunt(each, 40, 1040)
            print(f"| {each.name} | {found[0] if found else 'not found'} | {found[1] if found else ''} |", flush=True)
