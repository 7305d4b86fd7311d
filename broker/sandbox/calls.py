"""The request log of the sandbox's cloud: what was asked, when, by whom, with which answer; never a secret in clear.

Knows nothing of endpoints' meaning. Safe to read from any thread.
The one invariant: a secret stands here only as a fingerprint (first 8 hex digits of its SHA-256).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Endpoint = Literal["metadata", "keys", "authorize", "token", "call_in", "catalog"]
ENDPOINTS: tuple[Endpoint, ...] = ("metadata", "keys", "authorize", "token", "call_in", "catalog")

_SECRET_HEADERS = {"authorization", "ocp-apim-subscription-key", "cookie", "proxy-authorization"}


def fingerprint(secret: str) -> str:
    """The first 8 hex digits of the SHA-256 of `secret`, as the broker's own log shows it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


@dataclass(slots=True)
class Call:
    """One request; `status` is None while unanswered, 0 where the connection was cut on purpose.

    `at_seconds` is Unix time of the cloud's injected clock (without its skew), `monotonic_seconds` for spacing in real
    time, `answered_seconds` on the same clock just before the last bytes were sent. `parameters` are the names that
    were sent in query or form, `refresh_token` and `api_token` are fingerprints, `person` is the
    `sub` of the token that came.
    """

    number: int
    endpoint: Endpoint
    at_seconds: float
    monotonic_seconds: float
    method: str
    path: str
    headers: Mapping[str, str]
    status: int | None = None
    answered_seconds: float | None = None
    client_id: str | None = None
    grant_type: str | None = None
    parameters: tuple[str, ...] = ()
    refresh_token: str | None = None
    new_refresh_token: str | None = None
    api_token: str | None = None
    person: str | None = None
    plant_id: str | None = None
    device_id: str | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The call as a JSON object, for the HTTP control."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"headers": dict(self.headers)}


@dataclass(slots=True)
class CallLog:
    """All calls since the start or the last `clear`, oldest first."""

    _calls: list[Call] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _numbers: int = 0

    def __iter__(self) -> Iterator[Call]:
        with self._changed:
            return iter(list(self._calls))

    def __len__(self) -> int:
        return len(self._calls)

    def of(self, endpoint: Endpoint) -> list[Call]:
        """The calls of one endpoint, oldest first."""
        return [call for call in self if call.endpoint == endpoint]

    def count(self, endpoint: Endpoint) -> int:
        """How many calls arrived at one endpoint."""
        return len(self.of(endpoint))

    def spacing_seconds(self, endpoint: Endpoint) -> list[float]:
        """The real time between one call and the next."""
        moments = [call.monotonic_seconds for call in self.of(endpoint)]
        return [later - earlier for earlier, later in itertools.pairwise(moments)]

    def clear(self) -> None:
        """Forget all calls; numbers go on."""
        with self._changed:
            self._calls.clear()

    def arrive(
        self, endpoint: Endpoint, *, at_seconds: float, method: str, path: str, headers: Mapping[str, str]
    ) -> Call:
        """Note that a request's head has arrived."""
        with self._changed:
            self._numbers += 1
            call = Call(self._numbers, endpoint, at_seconds, time.monotonic(), method, path, _safe(headers))
            self._calls.append(call)
            self._changed.notify_all()
            return call

    def end(self, call: Call, status: int) -> None:
        """Note the status that the call was answered with; 0: the connection was cut. Only the first counts."""
        with self._changed:
            if call.status is None:
                call.status, call.answered_seconds = status, time.monotonic()
            self._changed.notify_all()

    def wait(self, endpoint: Endpoint, count: int = 1, *, answered: bool = False, timeout_seconds: float = 10) -> None:
        """Block until so many calls arrived (or were answered). Raises: TimeoutError."""

        def enough() -> bool:
            calls = [call for call in self._calls if call.endpoint == endpoint]
            return len([call for call in calls if call.status is not None or not answered]) >= count

        with self._changed:
            if not self._changed.wait_for(enough, timeout_seconds):
                raise TimeoutError(f"sandbox: fewer than {count} calls of {endpoint} in {timeout_seconds} s")

    async def arrived(
        self, endpoint: Endpoint, count: int = 1, *, answered: bool = False, timeout_seconds: float = 10
    ) -> None:
        """`wait` without blocking the loop. Raises: TimeoutError."""
        await asyncio.to_thread(self.wait, endpoint, count, answered=answered, timeout_seconds=timeout_seconds)


def _safe(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers by lower-case name, those with secrets as fingerprints (an Authorization keeps its scheme)."""
    safe = {name.lower(): value for name, value in headers.items()}
    for name in _SECRET_HEADERS & safe.keys():
        scheme, space, rest = safe[name].rpartition(" ")
        safe[name] = f"{scheme}{space}<{fingerprint(rest)}>"
    return safe
