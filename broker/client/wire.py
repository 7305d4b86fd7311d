"""HTTP/1.1 as far as one request on one connection needs it, without any I/O (RFC 9112).

`http.client` would cost the command 15 ms at every start, and asyncio has no client at all: both clients use this.
Knows nothing of tickets. The one invariant: a Reply is complete only when its framing says so, never because the
connection ended early.
"""

from __future__ import annotations

from broker.client.problems import Unreachable

HEAD_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 64 * 1024 * 1024


class Request:
    """One request; `patience_seconds` is how much longer than usual its answer may take."""

    __slots__ = ("body", "headers", "method", "patience_seconds", "target")

    def __init__(
        self,
        method: str,
        target: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        patience_seconds: float = 0.0,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers or {}
        self.body = body
        self.patience_seconds = patience_seconds

    def encode(self) -> bytes:
        """The bytes to send; the connection ends with the answer."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: localhost", "Connection: close"]
        if self.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


class Reply:
    """One answer, fed as it arrives; `take` gives the body so far."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self._input = b""
        self._body = bytearray()
        self._missing: int | None = None  # bytes of the body, or of this chunk; None: until the connection ends
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Take what was received; b"" says that the connection ended.

        Raises: Unreachable, for what is not HTTP or ends too early.
        """
        self._input += data
        if not self.status:
            self._read_head()
        if self.status:
            self._read_body()
        if not data and not self.complete:
            self._end()

    def take(self) -> bytes:
        """The body received since the last time."""
        taken, self._body = bytes(self._body), bytearray()
        return taken

    def _end(self) -> None:
        if not self.status or self._chunked or self._missing:
            raise Unreachable("the broker closed the connection before its answer was complete")
        self.complete = True

    def _read_head(self) -> None:
        head, separator, rest = self._input.partition(b"\r\n\r\n")
        if not separator:
            if len(self._input) > HEAD_LIMIT_BYTES or not b"HTTP/1.".startswith(self._input[:7]):
                raise Unreachable("what answered does not speak HTTP")
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        if not version.startswith("HTTP/1.") or not status[:3].isdigit():
            raise Unreachable("what answered does not speak HTTP")
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.status = int(status[:3])
        self._input = rest
        self._frame()

    def _frame(self) -> None:
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._chunked = False
            self._missing = 0
        elif self._chunked:
            self._missing = 0
        elif length is not None:
            if not length.isdigit():
                raise Unreachable("what answered does not speak HTTP")
            self._missing = int(length)

    def _read_body(self) -> None:
        if self._chunked:
            while not self.complete and self._read_chunk():
                pass
        elif self._missing is None:
            self._keep(len(self._input))
        else:
            self._missing -= self._keep(self._missing)
            self.complete = self._missing == 0

    def _read_chunk(self) -> bool:
        """Read the rest of a chunk, or the line that begins one; False: more input is needed."""
        if self._missing:
            self._missing -= self._keep(self._missing)
            return not self._missing
        line, separator, rest = self._input.removeprefix(b"\r\n").partition(b"\r\n")
        if not separator:
            return False
        try:
            self._missing = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Unreachable("what answered does not speak HTTP") from None
        self._input = rest
        self.complete = self._missing == 0  # trailers are of no interest
        return True

    def _keep(self, count: int) -> int:
        kept = self._input[:count]
        self._body += kept
        self._input = self._input[count:]
        if len(self._body) > BODY_LIMIT_BYTES:
            raise Unreachable("the answer is larger than any of the broker's")
        return len(kept)
