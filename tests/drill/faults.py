"""Faults that were planted in the real code, one at a time, and the seed of the hostile month that finds each.

A fault is a text of the code and what stands in its place, in a copy of the package; nothing is patched in a process.
`python -m tests.drill.faults [WORD…]` hunts for those without a seed (or whose names hold a word), and writes what it
finds to `faults.json`: the seed, the rules that broke, and the shrunk script that shows it in seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2] / "broker"
KEPT = Path(__file__).with_name("faults.json")
FIRST_SEED, LAST_SEED = 40, 1040
HUNT_SECONDS = 1800.0
REPLAY_SECONDS = 120.0


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    changes: tuple[tuple[str, str], ...]

    def plant(self, package: Path) -> None:
        """Into a copy. Raises: LookupError where the code has changed and the fault must be written anew."""
        path = package / self.file
        text = path.read_text("utf-8")
        for old, new in self.changes:
            if text.count(old) != 1:
                raise LookupError(f"{self.name}: stands {text.count(old)} times in {self.file}: {old!r}")
            text = text.replace(old, new)
        path.write_text(text, "utf-8")


def fault(name: str, file: str, *changes: tuple[str, str]) -> Fault:
    return Fault(name, file, changes)


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
        "services/renewal.py",
        ("if self._seen_generation == value.generation and self._seen_plan == self._planner.version:", "if False:"),
        ("jitter=draw(self.name, value.generation)", "jitter=draw(self.name, self._timekeeper.now())"),
    ),
    fault("tickets renewed at the last moment", "core/freshness.py", ("TICKET_MARGIN = 1 / 3", "TICKET_MARGIN = 0.02")),
    fault("id tokens renewed at their end", "core/freshness.py", ("ID_TOKEN_AGE = 0.5", "ID_TOKEN_AGE = 0.99")),
    fault(
        "what has expired is served",
        "core/instant.py",
        (
            "None if elapsed is None else self.seconds - elapsed",
            "None if elapsed is None else self.seconds * 1.2 - elapsed",
        ),
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
            "        return await self._due_in()\n",
            "        self._next = boot + await self._due_in()\n        return self._next - boot\n",
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
        ("if token is not None and not (self.rejected and token.digest in self.rejected):", "if token is not None:"),
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
    fault("the quota not persisted", "services/book.py", (".of(self.ledger)", ".of(Ledger(self._now()))")),
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
    fault(
        "tickets renewed with most of their life left",
        "core/freshness.py",
        ("TICKET_MARGIN = 1 / 3", "TICKET_MARGIN = 0.6"),
    ),
    fault("id tokens renewed soon after they came", "core/freshness.py", ("ID_TOKEN_AGE = 0.5", "ID_TOKEN_AGE = 0.1")),
    fault(
        "the newest copy of a document written over",
        "adapters/store.py",
        ("        target = 1 - place.newest\n", "        target = place.newest\n"),
    ),
    fault(
        "a save that is not synced",
        "adapters/store.py",
        ("        try:\n            self._disk.sync(path)\n", "        try:\n            pass\n"),
    ),
    fault(
        "the first copy read, whichever is newer",
        "adapters/store.py",
        ("best = 1 if slots[1].sequence > slots[0].sequence else 0", "best = 0 if slots[0].content is not None else 1"),
    ),
    fault(
        "the account's own failure not persisted",
        "services/book.py",
        ('"failure": failure_to(self.failure),', '"failure": None,'),
    ),
    fault(
        "429 taken for one ticket's own trouble",
        "services/calls.py",
        ("frozenset({400, 406, 408, 430, 486})", "frozenset({400, 406, 408, 429, 430, 486})"),
    ),
    fault(
        "a day of the quota that lasts 22 hours",
        "core/quota.py",
        (
            "max(position_at(ledger, now) - window_seconds(rule, now), ledger.forgiven_to)",
            "max(position_at(ledger, now) - window_seconds(rule, now) * 22 / 24, ledger.forgiven_to)",
        ),
    ),
    fault(
        "single-use tickets that never grow old",
        "services/pool.py",
        ("return 0.0 if left is None else left - self.windows(held).mandatory_seconds", "return 1e9"),
        ("if (held.life.remaining(now) or 0.0) > 0)", "if held is not None)"),
    ),
    fault(
        "a window that closes forgotten in the runway",
        "core/runway.py",
        (
            "    known = [left for left in (token, window) if left is not None]",
            "    known = [left for left in (token,) if left is not None]",
        ),
    ),
    fault(
        "that there is no ticket told again after a restart",
        "services/page.py",
        ('told=bool(value.get("told"))', "told=False"),
    ),
    fault(
        "that a login ends told again after a restart",
        "services/documents.py",
        ('warned=tuple(data["warned"])', "warned=()"),
    ),
    fault(
        "a caller who hangs up takes the call with him",
        "services/tickets.py",
        ("await asyncio.shield(self.ref.start())", "await self.ref.start()"),
    ),
    fault(
        "prefetches that take the reserve",
        "core/quota.py",
        ("allowed = rule.daily - (rule.reserve if prefetch else 0)", "allowed = rule.daily"),
    ),
    fault(
        "a pool filled with one too many",
        "services/pool.py",
        ("spare = len(fresh) - self.config.pool", "spare = len(fresh) - self.config.pool - 1"),
    ),
    fault(
        "the previous token never tried",
        "core/session.py",
        ("for token in (self.refresh_token, self.previous_refresh_token):", "for token in (self.refresh_token,):"),
    ),
    fault(
        "the cloud's Date not heard",
        "services/timekeeper.py",
        (
            "        if server_seconds is None:\n            return\n",
            "        if server_seconds != -1:\n            return\n",
        ),
    ),
    fault(
        "one offline device that holds up the others",
        "services/calls.py",
        (
            "isinstance(error, GatewayOffline | InvalidResponse | TokenRefused)",
            "isinstance(error, InvalidResponse | TokenRefused)",
        ),
    ),
    fault(
        "a ledger that keeps every call for ever",
        "core/quota.py",
        ("    while kept and kept[0][0] <=", "    while False and kept[0][0] <="),
    ),
    fault(
        "a login begun anew is answered for the one before",
        "services/logins.py",
        (
            "        self._pending[identity.name] = record\n",
            "        self._pending.setdefault(identity.name, record)\n",
        ),
    ),
)


def kept() -> dict[str, dict[str, Any]]:
    """What was found for each fault, by its name."""
    found: dict[str, dict[str, Any]] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    return found


def copy_of_the_package(directory: Path, it: Fault | None) -> Path:
    """A copy, compiled files included, with the fault planted in it (None: clean)."""
    package = directory / "broker"
    shutil.copytree(PACKAGE, package)
    if it is not None:
        it.plant(package)
    return package


def run(package: Path, *arguments: str, seconds: float) -> dict[str, Any] | None:
    """What this copy's own hunt tells: a month or a script that breaks a promise; None where none does."""
    command = [sys.executable, "-m", "broker.drill.hunt", *arguments]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode == 0:
        return None
    if not done.stdout:
        raise RuntimeError(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def replay(package: Path, script: dict[str, Any]) -> dict[str, Any] | None:
    """Play one kept script on a copy."""
    path = package.parent / "script.json"
    path.write_text(json.dumps(script), "utf-8")
    return run(package, "--script", str(path), seconds=REPLAY_SECONDS)


def hunt(it: Fault, first: int, last: int) -> dict[str, Any] | None:
    """The first seed in [first, last) that finds the fault and under which clean code keeps every promise."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        planted, clean = copy_of_the_package(Path(one), it), copy_of_the_package(Path(other), None)
        while first < last:
            found = run(planted, str(first), str(last), seconds=HUNT_SECONDS)
            if found is None or replay(clean, found["script"]) is None:
                return found
            first = int(found["seed"]) + 1
    return None


def main(words: list[str]) -> None:
    """Hunt, and keep what is found."""
    for it in FAULTS:
        if any(word in it.name for word in words) or (not words and it.name not in kept()):
            try:
                found = hunt(it, FIRST_SEED, LAST_SEED)
            except subprocess.TimeoutExpired:
                found = None
            if found is not None:
                found.pop("log")
                KEPT.write_text(json.dumps({**kept(), it.name: found}, indent=1, sort_keys=True) + "\n", "utf-8")
            what = "not found" if found is None else f"seed {found['seed']}: {' | '.join(found['rules'])}"
            print(f"{it.name}: {what}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
