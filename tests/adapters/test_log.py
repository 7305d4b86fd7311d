"""What the log prints, and above all what it does not."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.adapters import redaction
from broker.adapters.log import FOREIGN, StandardLog
from broker.adapters.redaction import GONE, redacted
from broker.core.instant import Reading
from broker.core.secret import Secret
from broker.events import EVENTS, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.events import Level

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


class FixedClock:
    def __init__(self, wall_seconds: float = 1_795_000_000.25) -> None:
        self.wall_seconds = wall_seconds

    def read(self) -> Reading:
        return Reading("boot", 1.0, self.wall_seconds)


class Lines(io.StringIO):
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def log_to(stream: io.StringIO, style: Literal["auto", "json", "text"] = "json", level: Level = "info") -> StandardLog:
    return StandardLog(level, style, stream, FixedClock())


@pytest.fixture
def lines() -> Lines:
    return Lines()


@contextmanager
def foreign_to(lines: Lines) -> Iterator[None]:
    """Within the test, not in a fixture: pytest puts handlers of its own on the root logger in between."""
    handler = log_to(lines).adopt_foreign()
    try:
        yield
    finally:
        handler.give_back()


def test_a_line_of_json_has_time_level_event_and_facts(lines: Lines) -> None:
    log_to(lines).emit("ticket.issued", ticket="front-door", generation=4, fingerprint=None)
    assert lines.objects() == [
        {
            "time": "2026-11-18T11:06:40.250Z",
            "level": "info",
            "event": "ticket.issued",
            "ticket": "front-door",
            "generation": 4,
        }
    ]


def test_a_line_of_text_is_for_people(lines: Lines) -> None:
    log_to(lines, "text").emit("login.required", account="home", detail="the provider ended it", code="x=1")
    assert lines.getvalue() == (
        '2026-11-18T11:06:40.250Z error   login.required account=home detail="the provider ended it" code="x=1"\n'
    )


def test_auto_is_json_where_there_is_no_terminal(lines: Lines) -> None:
    log_to(lines, "auto").emit("service.stopped")
    assert lines.objects()[0]["event"] == "service.stopped"


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_silences_what_is_quieter(lines: Lines, level: Level, shown: int) -> None:
    log = log_to(lines, level=level)
    for event in ("service.stopped", "config.warned", "config.degraded"):
        log.emit(event)
    assert len(lines.objects()) == shown


@pytest.mark.parametrize("level", ["debug", "error"])
def test_a_word_outside_the_vocabulary_is_a_bug_at_every_level(lines: Lines, level: Level) -> None:
    with pytest.raises(ValueError, match=r"event ticket\.isued is not in the vocabulary"):
        log_to(lines, level=level).emit("ticket.isued")
    with pytest.raises(ValueError, match=r"event ticket\.issued has no fact refresh_token"):
        log_to(lines, level=level).emit("ticket.issued", refresh_token="x")
    assert lines.getvalue() == ""


def test_a_secret_shows_as_its_fingerprint_and_a_token_in_a_text_not_at_all(lines: Lines) -> None:
    log_to(lines).emit("login.failed", account="home", code=Secret("hunter2"), detail=f"answered {JWT} today")
    assert "hunter2" not in lines.getvalue()
    assert lines.objects()[0]["code"] == repr(Secret("hunter2"))
    assert lines.objects()[0]["detail"] == f"answered {GONE} today"


def test_a_fact_cannot_speak_to_the_terminal(lines: Lines) -> None:
    log_to(lines, "text").emit("login.failed", detail="\x1b[31mred\x9b\u202e")
    assert lines.getvalue().removesuffix("\n").isprintable()


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_fact_cannot_forge_a_line_or_fill_the_disk(lines: Lines, style: Literal["json", "text"]) -> None:
    log_to(lines, style).emit("login.failed", detail="a\r\n2026 error forged\x1b[31m\u2028" + "x" * 100_000)
    assert len(lines.getvalue().splitlines()) == 1
    assert "\x1b" not in lines.getvalue()
    assert len(lines.getvalue()) < 1000


def test_a_clock_beyond_the_calendar_is_printed_all_the_same(lines: Lines) -> None:
    StandardLog("info", "json", lines, FixedClock(1e18)).emit("service.stopped")
    assert lines.objects()[0]["time"] == "1e+18"


class Full(io.StringIO):
    tried = 0

    def write(self, _text: str, /) -> int:
        self.tried += 1
        raise OSError(errno.ENOSPC, "no space left on device")


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    stream = Full()
    log_to(stream).emit("service.stopped")
    assert stream.tried == 1


def test_under_the_journal_lines_carry_their_priority_and_no_time(tmp_path: Any) -> None:
    code = (
        "import os, sys; found = os.fstat(2); os.environ['JOURNAL_STREAM'] = f'{found.st_dev}:{found.st_ino}'\n"
        "from broker.adapters.clock import SystemClock\nfrom broker.adapters.log import StandardLog\n"
        "log = StandardLog('info', 'text', sys.stderr, SystemClock())\n"
        "log.emit('service.stopped'); log.emit('login.ending', account='home'); log.emit('config.degraded')\n"
    )
    with (tmp_path / "journal").open("w+") as journal:
        subprocess.run([sys.executable, "-c", code], stderr=journal, check=True, env={**os.environ, "PYTHONPATH": "."})
        journal.seek(0)
        assert journal.read() == "<6>service.stopped\n<4>login.ending account=home\n<3>config.degraded\n"


# foreign loggers


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_libraries_are_heard_from_warning_on(lines: Lines, name: str) -> None:
    logger = logging.getLogger(f"{name}.inner")
    with foreign_to(lines):
        logger.debug("code=%s", "secret-code")
        logger.info("x")
        logger.warning("retry with code=%s&state=abc", "secret-code")
        logger.error("token %s", JWT)
    assert [(line["event"], line["detail"]) for line in lines.objects()] == [
        ("library.warned", f"retry with code={GONE}&state={GONE}"),
        ("library.failed", f"token {GONE}"),
    ]


def test_a_traceback_is_one_redacted_line(lines: Lines) -> None:
    with foreign_to(lines):
        try:
            int(JWT)
        except ValueError:
            logging.getLogger("asyncio").exception("task failed")
    (line,) = lines.objects()
    assert "ValueError" in line["traceback"]
    assert JWT not in lines.getvalue()


def test_a_broken_foreign_message_and_a_warning_are_told_too(lines: Lines) -> None:
    with warnings.catch_warnings(), foreign_to(lines):
        warnings.simplefilter("always")
        logging.getLogger("msal").warning("%d", "x")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    first, second = lines.objects()
    assert first["detail"] == "%d"
    assert "old ways" in second["detail"]


def test_giving_back_leaves_logging_as_it_was(lines: Lines) -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:], logging.getLogger("msal").level)
    log_to(lines).adopt_foreign().give_back()
    assert (root.level, root.handlers[:], logging.getLogger("msal").level) == before


# redaction


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        ("GET /callback?code=AwAB-1.x&state=st4te HTTP/1.1", "AwAB-1.x"),
        ("GET /callback?code=AwAB&state=st4te HTTP/1.1", "st4te"),
        ("grant_type=refresh_token&refresh_token=0.AAA&x=1", "0.AAA"),
        ('{"refresh_token": "0.AAA", "x": 1}', "0.AAA"),
        ("{'id_token': 'abc.def'}", "abc.def"),
        ("client_secret%3Dhunter2", "hunter2"),
        ("Ocp-Apim-Subscription-Key=0123456789abcdef", "0123456789abcdef"),
        ("Authorization: Basic aHVudGVyMjpodW50ZXIy", "aHVudGVyMjpodW50ZXIy"),
        ("id_token_hint is eyJhbGciOi.", "eyJhbGciOi"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, gone: str) -> None:
    assert gone not in redacted(text)
    assert GONE in redacted(text)


@pytest.mark.parametrize(
    "text", ["ticket front-door: issuer answered 503; next attempt in 20 s", "error code AADB2C90080", "barcode=1"]
)
def test_what_does_not_is_left(text: str) -> None:
    assert redacted(text) == text


def test_every_event_is_a_noun_and_a_participle_and_no_fact_is_named_like_a_secret() -> None:
    secrets = {
        "access_token",
        "refresh_token",
        "id_token",
        "client_secret",
        "subscription_key",
        "key",
        "nonce",
        "state",
    }
    for name, event in EVENTS.items():
        assert name.count(".") == 1
        assert not event.facts & secrets
        assert check(name, event.facts) is event


HARMLESS = st.sampled_from(
    ["token", "ticket:", "bearer", "code", ".", "/", "-", "_", ":", "a1B2c3", "eyJ", "eyJhbGciOi", "0"]
)


@given(st.lists(HARMLESS, max_size=8).map("".join))
def test_what_is_not_looked_through_has_nothing_that_would_be_taken_out(text: str) -> None:
    thorough = text
    for pattern in (redaction._JWT, redaction._PARAMETER, redaction._SCHEME):
        thorough = pattern.sub(GONE, thorough)
    assert redacted(text) == thorough
