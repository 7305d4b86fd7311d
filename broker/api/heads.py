"""Where the head of a request ends, found before any parser sees it; and which heads no parser need see at all.

Bytes in, numbers out; knows no socket. The one invariant: what is refused here would be refused by the parser, too, or
is longer than our limits; what a head means is the parser's alone to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from broker.api.problems import RequestRefused

if TYPE_CHECKING:
    from broker.api.limits import Limits

END_OF_HEAD = b"\r\n\r\n"
METHOD = re.compile(rb"[A-Z]")
BODY = re.compile(rb"\n(?:transfer-encoding|content-length:[ \t]*+(?!0\r)|content-length[ \t])", re.IGNORECASE)
MALFORMED = RequestRefused(
    "the request is not HTTP, or its head is too long (a line: 8 KiB, in all: 16 KiB, headers: 64); the connection is "
    "closed",
    status=400,
)


def head_length(data: bytes, limits: Limits) -> int:
    """The length of the head that `data` begins with; 0: it is not whole yet. Raises: RequestRefused (400)."""
    found = data.find(END_OF_HEAD)
    length = len(data) if found < 0 else found + len(END_OF_HEAD)
    lines = data.count(b"\n", 0, length)
    if (
        length > limits.head_bytes
        or lines > limits.headers + 2  # the request line, and the empty one
        or lines != data.count(b"\r\n", 0, length)
        or (data and METHOD.match(data) is None)
        or (found < 0 and length - data.rfind(b"\n") > limits.line_bytes + len(END_OF_HEAD))
    ):
        raise RequestRefused(MALFORMED.message, status=MALFORMED.status)  # a constant that is raised keeps every frame
    return 0 if found < 0 else length


def announces_body(head: bytes) -> bool:
    """Whether something belongs to this request behind its head."""
    return BODY.search(head) is not None
