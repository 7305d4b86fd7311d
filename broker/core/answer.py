"""One HTTP answer as plain values, and what its headers say: the server's time, how long to wait, whether it is JSON.

Knows no network and no clock. The one invariant: nothing that a server can send makes these functions raise.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

EARLIEST_SECONDS = 1_577_836_800.0
"""2020-01-01: a Date, `iat` or `exp` from before it is not a time of this cloud."""
LATEST_SECONDS = 4_102_444_800.0
"""2100-01-01: nor is one from after it."""
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
"""A day: a header that asks for more must not silence the broker for good."""
LONGEST_TEXT = 200

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_QUOTED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)""")
_LONG = re.compile(r"[A-Za-z0-9_\-+/=.~%]{24,}|(?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{12,}")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers (names in lower case) and the whole body; what may repeat a token is not printed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    url: str = field(default="", repr=False)

    @property
    def is_success(self) -> bool:
        """2xx."""
        return self.status // 100 == HTTPStatus.OK // 100

    @property
    def is_redirect(self) -> bool:
        """3xx: never followed."""
        return self.status // 100 == HTTPStatus.MULTIPLE_CHOICES // 100

    @property
    def is_server_error(self) -> bool:
        """5xx and whatever is beyond."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case; "" where none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_html(self) -> bool:
        """Whether this is a page for people: a captive portal, a proxy, a firewall."""
        return self.media_type in {"text/html", "application/xhtml+xml"} or self.body.lstrip()[:1] == b"<"

    @property
    def is_json(self) -> bool:
        """Whether the answer calls itself JSON (RFC 8259, RFC 6839)."""
        return self.media_type in {"application/json", "text/json"} or self.media_type.endswith("+json")

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, whatever it calls itself; None where it is none."""
        value = self.json_value()
        return value if isinstance(value, dict) else None

    def json_value(self) -> object:
        """The body as any JSON value; None where it is none."""
        try:
            return json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None

    def server_seconds(self) -> float | None:
        """The server's clock as Unix time: Date plus Age (RFC 9111 section 4.2.3); None where it tells none."""
        date = self._date_seconds("date")
        if date is None:
            return None
        age = number(self.headers.get("age"))
        return date + (age if age is not None and 0 <= age <= LONGEST_RETRY_AFTER_SECONDS else 0.0)

    def retry_after_seconds(self) -> float | None:
        """Retry-After, 0 to a day of seconds (RFC 9110 section 10.2.3); a date counts from the answer's own."""
        asked = number(self.headers.get("retry-after"))
        if asked is None:
            until, date = self._date_seconds("retry-after"), self._date_seconds("date")
            if until is None or date is None:
                return None
            asked = until - date
        return min(max(asked, 0.0), LONGEST_RETRY_AFTER_SECONDS)

    def _date_seconds(self, header: str) -> float | None:
        text = self.headers.get(header)
        if not text:
            return None
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        return seconds if EARLIEST_SECONDS <= seconds <= LATEST_SECONDS else None


def number(value: object) -> float | None:
    """A finite number out of JSON's number or a string of digits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*-?\d{1,18}(\.\d{1,9})?\s*", value, re.ASCII):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def unix_seconds(value: object) -> int | None:
    """A plausible moment (2020 to 2100) out of a JWT's NumericDate, also where it came as a string or a float."""
    seconds = number(value)
    return int(seconds) if seconds is not None and EARLIEST_SECONDS <= seconds <= LATEST_SECONDS else None


def plain_text(text: object) -> str:
    """The first line of what a server said, fit for a message: printable, short, without URLs, ids or quotes."""
    if not isinstance(text, str):
        return ""
    line = next((line.strip() for line in text[:4096].splitlines() if line.strip()), "")
    line = "".join(letter if letter.isprintable() else " " for letter in line)
    for pattern in (_URL, _QUOTED, _LONG):
        line = pattern.sub("…", line)
    return line[:LONGEST_TEXT].strip().rstrip(".")
