"""The ports, written by hand: a clock that a test moves, a store that refuses, providers that rotate, recorders.

Every fake tells what was done to it (`seen`, `saved`, `told`). `World` puts one account's identity together on them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from broker.config import AccountConfig, ApiConfig, OAuthConfig, SecretReference
from broker.core.callin import IssuedTicket
from broker.core.instant import Reading
from broker.core.secret import Secret
from broker.core.tokens import IdClaims, PendingLogin, TokenSet
from broker.errors import (
    BrokerError,
    GrantRejected,
    InvalidResponse,
    StoreDamaged,
    StoreUnavailable,
    UpstreamUnavailable,
)
from broker.events import check
from broker.services.exchange import Exchange
from broker.services.identity import Identity
from broker.services.journal import Journal
from broker.services.timekeeper import Timekeeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

T = TypeVar("T")
WALL_SECONDS = 1_795_003_200.0  # 2026-11-18 12:00:00 UTC
SERVICE = "token endpoint"
DAY = 86_400.0


class FakeClock:
    """ports.Clock, standing still until it is moved; `true_seconds` is the world's time, which no step changes."""

    def __init__(self, wall_seconds: float = WALL_SECONDS, boot_id: str = "boot-1") -> None:
        self.boot_id = boot_id
        self.boot_seconds = 1000.0
        self.wall_seconds = wall_seconds
        self.true_seconds = wall_seconds

    def read(self) -> Reading:
        return Reading(self.boot_id, self.boot_seconds, self.wall_seconds)

    def advance(self, seconds: float) -> None:
        """Time passes, awake or suspended: CLOCK_BOOTTIME counts both."""
        self.boot_seconds += seconds
        self.wall_seconds += seconds
        self.true_seconds += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall_seconds += seconds

    def reboot(self, *, off_seconds: float = 60.0, wall_seconds: float | None = None) -> None:
        """Another boot, after so long without power; `wall_seconds`: where there is no clock that went on."""
        self.boot_id = f"{self.boot_id}x"
        self.boot_seconds = 5.0
        self.true_seconds += off_seconds
        self.wall_seconds = self.wall_seconds + off_seconds if wall_seconds is None else wall_seconds


class MemoryStore:
    """ports.Store in memory; `refuse` is raised by every write, `refuse_reads` by every read, while it is set."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.saved: list[tuple[str, bytes]] = []
        self.refuse: StoreUnavailable | None = None
        self.refuse_reads: BrokerError | None = None

    def load(self, name: str) -> bytes | None:
        if self.refuse_reads is not None:
            raise self.refuse_reads
        return self.documents.get(name)

    def save(self, name: str, content: bytes) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.documents[name] = content
        self.saved.append((name, content))

    def set_aside(self, name: str, reason: str) -> StoreDamaged:
        self.documents[f"{name}.damaged-1"] = self.documents.pop(name)
        return StoreDamaged(f"{name} is damaged ({reason}); set aside as {name}.damaged-1")

    def remove(self, name: str) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.documents.pop(name, None)

    def names(self) -> list[str]:
        return sorted(self.documents)


class InlineWorker:
    """ports.Worker: a step is done before anybody awaits it."""

    def run(self, step: Callable[[], T]) -> Awaitable[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(step())
        except BaseException as error:  # noqa: BLE001  it belongs to whoever awaits
            future.set_exception(error)
        return future


class GatedWorker:
    """ports.Worker: a step waits for `release()`, which does all that came so far, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def run(self, step: Callable[[], T]) -> Awaitable[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def go() -> None:
            try:
                result = step()
            except BaseException as error:  # noqa: BLE001  it belongs to whoever awaits
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self._waiting.append(go)
        return future

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def release(self) -> None:
        while self._waiting:
            self._waiting.popleft()()


class Recorder:
    """ports.Events: remembers what was told and holds it to the vocabulary."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []

    def emit(self, event: str, **facts: object) -> None:
        check(event, facts)
        self.told.append((event, facts))

    def of(self, event: str) -> list[dict[str, object]]:
        return [facts for name, facts in self.told if name == event]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@dataclass
class FakeProvider:
    """ports.IdentityProvider with one family of refresh tokens, named rt-0, rt-1, …; `strict` rotates for good.

    `outcomes` holds what the next refreshes meet: an error (raised before the cloud did anything), or "lose" (the
    cloud did it, the answer is lost). `answer` changes every answer. Strict: who comes with a used token ends it all.
    """

    clock: FakeClock
    strict: bool = False
    rotates: bool = True
    id_token_seconds: float = 3600.0
    refresh_token_seconds: float | None = 14 * DAY
    subject: str = "mario"
    outcomes: deque[BrokerError | str] = field(default_factory=deque)
    answer: Callable[[TokenSet], TokenSet] = lambda tokens: tokens
    during: Callable[[], None] = lambda: None
    seen: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    redeemed: list[PendingLogin] = field(default_factory=list)
    revoked: bool = False
    flying: int = 0
    most_flying: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, redirect_uri: str) -> PendingLogin:
        return PendingLogin(
            "https://cloud.test/authorize?state=s", redirect_uri, Secret("s"), code_verifier=Secret("v")
        )

    def redeem(self, pending: PendingLogin, response: Mapping[str, str]) -> TokenSet:
        self.redeemed.append(pending)
        if response.get("code") != "good":
            raise GrantRejected("the code is expired (AADB2C90080)", service=SERVICE, status=400)
        self.revoked, self.live = False, set()
        return self.answer(self._tokens(self._new()))

    def refresh(self, refresh_token: Secret) -> TokenSet:
        with self._lock:
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
        try:
            return self._refresh(refresh_token.reveal())
        finally:
            self.flying -= 1

    def _refresh(self, token: str) -> TokenSet:
        self.seen.append(token)
        self.during()
        outcome = self.outcomes.popleft() if self.outcomes else None
        if isinstance(outcome, BrokerError):
            raise outcome
        tokens = self._use(token)
        if outcome == "lose":
            raise UpstreamUnavailable("the answer broke off", service=SERVICE, ambiguous=True)
        return self.answer(tokens)

    def _use(self, token: str) -> TokenSet:
        if self.strict and token in self.given and token not in self.live:
            self.revoked = True
        if self.revoked or token not in self.live:
            raise GrantRejected("the grant is expired (AADB2C90080)", service=SERVICE, status=400)
        if not self.rotates:
            return self._tokens(None)
        if self.strict:
            self.live = set()
        return self._tokens(self._new())

    def _new(self) -> str:
        token = f"rt-{len(self.given)}"
        self.given.append(token)
        self.live.add(token)
        return token

    def _tokens(self, refresh_token: str | None) -> TokenSet:
        return TokenSet(
            id_token=Secret(f"id {self.subject} {int(self.clock.true_seconds)} {int(self.id_token_seconds)}"),
            refresh_token=None if refresh_token is None else Secret(refresh_token),
            refresh_token_seconds=self.refresh_token_seconds if refresh_token is not None else None,
            server_seconds=self.clock.true_seconds,
        )


class FakeVerifier:
    """ports.IdTokenVerifier for FakeProvider's tokens; `flaw` is what is wrong with all of them."""

    def __init__(self) -> None:
        self.flaw: BrokerError | None = None
        self.prepared = 0
        self.asked: list[tuple[Secret | None, float | None]] = []

    def prepare(self) -> None:
        self.prepared += 1

    def verify(self, id_token: Secret, *, nonce: Secret | None, server_seconds: float | None) -> IdClaims:
        self.asked.append((nonce, server_seconds))
        if self.flaw is not None:
            raise self.flaw
        try:
            _, subject, issued_at, seconds = id_token.reveal().split()
        except ValueError:
            raise InvalidResponse("id token: not understood", service="id token") from None
        return IdClaims("https://cloud.test", subject, int(issued_at), int(issued_at) + int(seconds), subject)


class FakeIssuer:
    """ports.TicketIssuer: opaque tickets t-1, t-2, …; `outcomes` holds errors that the next calls meet."""

    def __init__(self, clock: FakeClock, life_seconds: float = 300.0) -> None:
        self.clock = clock
        self.life_seconds = life_seconds
        self.outcomes: deque[BrokerError] = deque()
        self.seen: list[tuple[str, str, str]] = []

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:
        self.seen.append((plant_id, device_id, token.reveal()))
        if self.outcomes:
            raise self.outcomes.popleft()
        now = int(self.clock.true_seconds)
        return IssuedTicket(
            ticket=Secret(f"t-{len(self.seen)}"),
            issued_at=now,
            expires_at=now + int(self.life_seconds),
            sender={},
            server_seconds=self.clock.true_seconds,
        )

    async def close(self) -> None:
        """Nothing is open."""


class FakePublisher:
    """ports.Publisher: files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.refuse: StoreUnavailable | None = None
        self.keep: StoreUnavailable | None = None

    def publish(self, name: str, ticket: Secret) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.files[name] = ticket.reveal()

    def withdraw(self, name: str) -> None:
        if self.keep is not None:
            raise self.keep
        self.files.pop(name, None)


def reference(value: str) -> SecretReference:
    return SecretReference("env", "TEST", Secret(value))


def an_account(name: str = "home", *, client_secret: str = "secret", **more: Any) -> AccountConfig:
    """A partner account; keywords of OAuthConfig and ApiConfig go where they belong."""
    oauth = {key: more.pop(key) for key in list(more) if key in OAuthConfig.__dataclass_fields__}
    api = {key: more.pop(key) for key in list(more) if key in ApiConfig.__dataclass_fields__}
    return AccountConfig(
        name=name,
        provider="partner",
        authority="https://cloud.test",
        client_id="app",
        api=ApiConfig(reference("key"), **api),
        client_secret=reference(client_secret),
        oauth=OAuthConfig(**oauth),
        **more,
    )


def spawn(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    """A task of the running loop."""
    return asyncio.get_running_loop().create_task(work)


class World:
    """One account's identity on fakes. `await world.login()` logs in; `world.restart()` is a new process."""

    def __init__(
        self,
        config: AccountConfig | None = None,
        *,
        clock: FakeClock | None = None,
        store: Any = None,
        strict: bool = False,
        exchanges: Any = None,
        rest_seconds: float = 5.0,
    ) -> None:
        self.config = config or an_account()
        self.clock = clock or FakeClock()
        self.store = store if store is not None else MemoryStore()
        self.provider = FakeProvider(self.clock, strict=strict)
        self.verifier = FakeVerifier()
        self.worker = InlineWorker()
        self.exchanges = exchanges or self.worker
        self.rest_seconds = rest_seconds
        self.events = Recorder()
        self._begin()

    def _begin(self) -> None:
        self.timekeeper = Timekeeper(self.clock, self.events)
        self.journal = Journal(f"account-{self.config.name}", self.store, self.timekeeper.now)
        self.exchange = self.make_exchange(self.config)
        self.identity = Identity(
            self.config,
            exchange=self.exchange,
            journal=self.journal,
            worker=self.worker,
            exchanges=self.exchanges,
            timekeeper=self.timekeeper,
            events=self.events,
            spawn=spawn,
        )

    def make_exchange(self, config: AccountConfig) -> Exchange:
        return Exchange(
            config,
            provider=self.provider,
            verifier=self.verifier,
            journal=self.journal,
            timekeeper=self.timekeeper,
            rest_seconds=self.rest_seconds,
        )

    def restart(self) -> None:
        """A new process on the same disk: what was in memory only is gone."""
        self._begin()
        self.identity.open()
        self.identity.adopt()

    def reconfigure(self, **changes: Any) -> None:
        """A reload with another configuration of the account."""
        self.config = replace(self.config, **changes)
        self.exchange = self.make_exchange(self.config)
        self.identity.reconfigure(self.config, self.exchange)

    async def login(self) -> None:
        pending = await self.identity.begin_login()
        await self.identity.finish_login(pending, {"code": "good"})

    async def sweep(self) -> None:
        """What is due is started, and ends."""
        await self.identity.maintain(self.timekeeper.now())
        await self.settle()

    async def settle(self) -> None:
        """Until no flight is under way that nothing holds."""
        for _ in range(20):
            await asyncio.sleep(0)  # noqa: TID251  lets the loop go round, sleeps not

    async def pass_time(self, seconds: float, *, every: float = 30.0) -> None:
        """So long, with a sweep as often as the ticker makes one."""
        while seconds > 0:
            self.clock.advance(min(every, seconds))
            seconds -= every
            await self.sweep()
