"""What the services need from outside, as small Protocols; `adapters/` has the real ones, tests and drill others.

Blocking ports say so: they are called in a worker thread, never in the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from broker.core.callin import IssuedTicket
    from broker.core.instant import Reading
    from broker.core.secret import Secret
    from broker.core.tokens import IdClaims, PendingLogin, TokenSet
    from broker.errors import StoreDamaged


T = TypeVar("T")


class Clock(Protocol):
    """The machine's clocks."""

    def read(self) -> Reading:
        """Read boot id, CLOCK_BOOTTIME and wall clock at one moment."""
        ...


class IdentityProvider(Protocol):
    """One account's way to log in. Blocking; one call at a time."""

    def begin(self, redirect_uri: str) -> PendingLogin:
        """Make a new authorization request. Raises: UpstreamError."""
        ...

    def redeem(self, pending: PendingLogin, response: Mapping[str, str]) -> TokenSet:
        """Exchange the redirect's parameters (at least `code`) for tokens; `state` has been compared already.

        Raises: LoginRejected, GrantRejected, UpstreamError.
        """
        ...

    def refresh(self, refresh_token: Secret) -> TokenSet:
        """Make exactly one request to the token endpoint with `refresh_token` (RFC 6749 section 6).

        Raises: GrantRejected, UpstreamError (UpstreamUnavailable and InvalidResponse say whether it is ambiguous).
        """
        ...


class IdTokenVerifier(Protocol):
    """Checks id tokens of one account. Blocking: it may read metadata and keys."""

    def prepare(self) -> None:
        """Read metadata and keys when they are missing or a day old. Raises: UpstreamError."""
        ...

    def verify(self, id_token: Secret, *, nonce: Secret | None, server_seconds: float | None) -> IdClaims:
        """Check signature, iss, aud, exp, nbf, iat and, where given, nonce. Raises: InvalidResponse, UpstreamError.

        `server_seconds` is the cloud's time to judge by; None: none was told, the token's own `iat` counts, as a
        wall clock may be wrong by days.
        """
        ...


class TicketIssuer(Protocol):
    """The call-in operation of one account."""

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:
        """Make exactly one call. Raises: UpstreamError."""
        ...

    async def close(self) -> None:
        """Drop what is open towards the cloud."""
        ...


class HomeCatalogue(Protocol):
    """The service catalogue of one account; optional, for who sets the broker up."""

    async def plants(self, token: Secret) -> list[dict[str, str]]:
        """The plants, each with `id` and perhaps `name`; exactly one call. Raises: UpstreamError."""
        ...

    async def modules(self, plant_id: str, token: Secret) -> list[dict[str, str]]:
        """The modules of a plant, likewise; exactly one call. Raises: UpstreamError."""
        ...

    async def close(self) -> None:
        """Drop what is open towards the cloud."""
        ...


class Store(Protocol):
    """Sealed documents by name, each atomic and durable. Blocking.

    Names are like `account-home`, `tickets`; contents are opaque bytes.
    """

    def load(self, name: str) -> bytes | None:
        """The newest readable copy; None where there never was one. Raises: StoreUnavailable, StoreDamaged."""
        ...

    def save(self, name: str, content: bytes) -> None:
        """Write durably (fsynced) before returning; a crash leaves the old or the new. Raises: StoreUnavailable."""
        ...

    def set_aside(self, name: str, reason: str) -> StoreDamaged:
        """Keep a document that opened and is not understood under another name; what to raise.

        Raises: StoreUnavailable (it could not be set aside).
        """
        ...

    def remove(self, name: str) -> None:
        """Forget a document; a missing one is fine. Raises: StoreUnavailable."""
        ...

    def names(self) -> list[str]:
        """The names of all documents present. Raises: StoreUnavailable."""
        ...


class Disk(Protocol):
    """The operations that the store is made of, each of which may fail or be the last. Blocking; raises OSError."""

    def read(self, path: Path) -> bytes: ...
    def create(self, path: Path, content: bytes) -> None:
        """Write a new file with mode 0600 (not synced); FileExistsError where the name is taken."""
        ...

    def overwrite(self, path: Path, offset: int, content: bytes) -> None:
        """Write into an existing file in place (not synced)."""
        ...

    def sync(self, path: Path) -> None:
        """Fsync a file or a directory."""
        ...

    def rename(self, source: Path, target: Path) -> None: ...
    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError where that name is taken."""
        ...

    def unlink(self, path: Path) -> None: ...
    def listdir(self, path: Path) -> list[str]: ...
    def make_directory(self, path: Path) -> None:
        """Make a directory, with mode 0700, where there is none."""
        ...


class Worker(Protocol):
    """Where blocking steps run; a step once begun ends, whoever stops waiting for it."""

    def run(self, step: Callable[[], T]) -> Awaitable[T]:
        """Run `step` off the loop."""
        ...


class Events(Protocol):
    """Where what happened is told: the log, the hooks, the metrics."""

    def emit(self, event: str, **facts: object) -> None:
        """Tell one event of the vocabulary in `broker.events`; a fact not in its list is a bug."""
        ...


class Publisher(Protocol):
    """Published ticket files. Blocking."""

    def publish(self, name: str, ticket: Secret) -> None:
        """Replace the file of this ticket atomically. Raises: StoreUnavailable."""
        ...

    def withdraw(self, name: str) -> None:
        """Remove the file of this ticket; a missing one is fine."""
        ...
