"""The log: events as lines on one stream, and what foreign libraries log, in the same form.

Knows the vocabulary of `broker.events` and no service. Under the journal a line starts with its priority
(sd-daemon(3)). The one invariant: a line is one line, bounded, and nothing that looks like a token gets through.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

from broker.adapters.redaction import crash_report, redacted
from broker.events import Level, check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.ports import Clock

JSON = json.JSONEncoder(ensure_ascii=False)
LONGEST_FACT = 600
LONGEST_TRACEBACK = 6000
SEVERITY: dict[Level, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
PRIORITY: dict[Level, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog(3)
FOREIGN = ("msal", "authlib", "urllib3", "requests", "aiohttp", "apscheduler", "asyncio", "joserfc", "py.warnings")


class StandardLog:
    """The last step of ports.Events: writes the events that are loud enough to `stream`."""

    def __init__(self, level: Level, style: Literal["auto", "json", "text"], stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._journal = _is_journal(stream)
        self.configure(level, style)

    def configure(self, level: Level, style: Literal["auto", "json", "text"]) -> None:
        """Set both anew (a reload); "auto" is text on a terminal and JSON elsewhere."""
        self._threshold = SEVERITY[level]
        self._json = style == "json" or (style == "auto" and not self._stream.isatty())

    def emit(self, event: str, **facts: object) -> None:
        """Write one event. Raises: ValueError where it is not in the vocabulary, however quiet the log is."""
        level = check(event, facts).level
        if SEVERITY[level] >= self._threshold:
            self._write(level, event, facts)

    def adopt_foreign(self) -> ForeignHandler:
        """Send what other libraries log here, WARNING and louder only. Undone by `give_back` of what is returned."""
        return ForeignHandler(self)

    def _write(self, level: Level, event: str, facts: Mapping[str, object]) -> None:
        values = {name: _plain(name, value) for name, value in facts.items() if value is not None}
        line = self._json_line(level, event, values) if self._json else self._text_line(level, event, values)
        prefix = f"<{PRIORITY[level]}>" if self._journal else ""
        try:
            self._stream.write(f"{prefix}{line}\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # a log that cannot be written (full, closed) has nowhere to say so, and must not stop the vending

    def _json_line(self, level: Level, event: str, values: Mapping[str, Any]) -> str:
        return JSON.encode({"time": self._time(), "level": level, "event": event, **values})

    def _text_line(self, level: Level, event: str, values: Mapping[str, Any]) -> str:
        words = [f"{name}={_word(value)}" for name, value in values.items()]
        start = [event] if self._journal else [self._time(), f"{level:7}", event]
        return " ".join(start + words)

    def _time(self) -> str:
        """RFC 3339, to the millisecond; a clock beyond the calendar is told as its number."""
        seconds = self._clock.read().wall_seconds
        try:
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        except (OverflowError, ValueError, OSError):
            return str(seconds)


class ForeignHandler(logging.Handler):
    """The root logger's only handler while it is there."""

    def __init__(self, log: StandardLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        root = logging.getLogger()
        self._before = (root.level, root.handlers[:])
        self._levels = {name: logging.getLogger(name).level for name in FOREIGN}
        root.handlers[:] = [self]
        root.setLevel(logging.WARNING)
        for name in FOREIGN:
            logging.getLogger(name).setLevel(logging.WARNING)  # MSAL at DEBUG prints the code and the verifier
        logging.captureWarnings(capture=True)

    def give_back(self) -> None:
        """Leave logging as it was found."""
        logging.captureWarnings(capture=False)
        root = logging.getLogger()
        root.setLevel(self._before[0])
        root.handlers[:] = self._before[1]
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            detail = record.getMessage()
        except (TypeError, ValueError, KeyError):
            detail = str(record.msg)  # their format string does not fit their arguments
        raised = record.exc_info[1] if record.exc_info else None
        trace = None if raised is None else crash_report(raised)
        event = "library.failed" if record.levelno >= logging.ERROR else "library.warned"
        self._log.emit(event, logger=record.name, detail=detail, traceback=trace)


def _plain(name: str, value: object) -> object:
    """What JSON can say: numbers and truth as they are, lists of words, all else as one bounded redacted line."""
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(name, item) for item in value]
    text = redacted(str(value))
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    longest = LONGEST_TRACEBACK if name == "traceback" else LONGEST_FACT
    return text if len(text) <= longest else f"{text[:longest]}…"


def _word(value: object) -> str:
    """A value for a line of text: quoted where it has more than one word."""
    if isinstance(value, str) and value and not any(c in ' "=' for c in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_journal(stream: TextIO) -> bool:
    """Whether the stream is the one that systemd connected to the journal (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"
