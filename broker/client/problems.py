"""What can go wrong for a caller of the broker, as exceptions.

Knows the problem documents of the socket (RFC 9457) and nothing of how they travel. The one invariant: `code` and
`remedy` are strings as they came, so that a newer broker's codes pass through an older client.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class ClientError(Exception):
    """Anything that keeps the broker's answer from the caller; `hint` says what a person can do, where known."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Unreachable(ClientError):
    """No broker answered: no socket, nobody behind it, no answer in time, or an answer that is none."""


class Problem(ClientError):
    """The broker answered and said why not.

    `code` and `remedy` are the contract's words, `status` the HTTP status, `retry_after` and `available_for` seconds
    (None where waiting does not help, or nothing is there), `document` the whole answer.
    """

    def __init__(
        self,
        code: str,
        remedy: str,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        available_for: int | None = None,
        hint: str | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.code = code
        self.remedy = remedy
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.available_for = available_for
        self.document = dict(document or {})

    @classmethod
    def from_document(cls, status: int, document: Mapping[str, Any]) -> Problem:
        """Read a problem document; what it leaves out is filled with what the status alone tells."""
        code = str(document.get("code") or "internal_error")
        return cls(
            code,
            str(document.get("remedy") or "none"),
            status,
            str(document.get("detail") or document.get("title") or f"the broker answered {status}"),
            retry_after=_seconds(document.get("retry_after")),
            available_for=_seconds(document.get("available_for")),
            hint=_text(document.get("hint")),
            document=document,
        )


def _seconds(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
