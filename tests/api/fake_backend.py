"""A Backend by hand: what each call answers is set by the test, what was asked is kept."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from broker.api.backend import ReadyTicket, Row, VendedIdToken, VendedTicket
from broker.core.access import AccessPolicy
from broker.core.secret import Secret
from broker.errors import BrokerError, UnknownAccount

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STRANGER = 4_000_000_001  # an own_uid that is nobody's: so that the tests' own uid is an ordinary peer


def ticket(name: str = "front-door", generation: int = 7, *, single_use: bool = False) -> VendedTicket:
    return VendedTicket(
        name=name,
        ticket=Secret(f"ticket-{name}-{generation}"),
        generation=generation,
        issued_at=1_800_000_000,
        expires_at=1_800_000_300,
        expires_in_seconds=287,
        plant_id="plant-1",
        device_id="device-1",
        sender={"system": "videodoorentry"},
        single_use=single_use,
    )


def id_token(name: str = "home") -> VendedIdToken:
    return VendedIdToken(
        name=name,
        id_token=Secret("the.id.token"),
        generation=3,
        issued_at=1_800_000_000,
        expires_at=1_800_003_600,
        expires_in_seconds=3587,
    )


class FakeBackend:
    """Answers from `answers` (a value, or a BrokerError or any exception to raise); `gate` holds every async call."""

    def __init__(self) -> None:
        self.policy = AccessPolicy(own_uid=os.getuid(), tickets={"front-door": None, "garage": ()}, id_tokens={})
        self.answers: dict[str, Any] = {}
        self.ready: Callable[[str], ReadyTicket | None] | None = None  # None: no fast path
        self.asked: list[tuple[str, str, dict[str, object]]] = []
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.lines: asyncio.Queue[Row | BrokerError | None] = asyncio.Queue()
        self.watch_closed = asyncio.Event()

    def _answer(self, call: str, default: Any) -> Any:
        answer = self.answers.get(call, default)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _later(self, call: str, name: str, default: Any, **asked: object) -> Any:
        self.asked.append((call, name, asked))
        self.entered.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            return self._answer(call, default)
        finally:
            self.left.set()

    def access(self) -> AccessPolicy:
        return self.policy

    def tickets(self) -> list[Row]:
        row = {"name": "front-door", "account": "home", "state": "fresh", "generation": 7, "code": None}
        rows = [{**row, "expires_at": 1_800_000_300, "expires_in": 287}]
        rows.append({**row, "name": "garage", "state": "unavailable", "expires_at": None, "expires_in": None})
        return list(self._answer("tickets", rows))

    async def ticket(
        self, name: str, *, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> VendedTicket | None:
        answer: VendedTicket | None = await self._later(
            "ticket",
            name,
            ticket(name),
            min_validity_seconds=min_validity_seconds,
            wait_seconds=wait_seconds,
            newer_than=newer_than,
        )
        return answer

    def ready_ticket(self, name: str) -> ReadyTicket | None:
        return None if self.ready is None else self.ready(name)

    async def watch(self, name: str) -> AsyncIterator[Row]:
        self.asked.append(("watch", name, {}))
        try:
            while (line := await self.lines.get()) is not None:
                if isinstance(line, BrokerError):
                    raise line
                yield line
        finally:
            self.watch_closed.set()

    async def renew_ticket(self, name: str, *, refused_generation: int) -> VendedTicket:
        answer: VendedTicket = await self._later("renew", name, ticket(name, 8), refused_generation=refused_generation)
        return answer

    async def probe_ticket(self, name: str, *, only_configured: bool) -> Row:
        return dict(await self._later("probe", name, {"attempts": [], "calls": 0}, only_configured=only_configured))

    async def homes(self, name: str) -> list[Row]:
        return list(await self._later("homes", name, [{"plant_id": "plant-1", "modules": []}]))

    def accounts(self) -> list[Row]:
        return list(self._answer("accounts", [{"name": "home", "state": "logged_in"}]))

    def account(self, name: str) -> Row:
        if name != "home":
            raise UnknownAccount("no account of that name is configured")
        return dict(self._answer("account", {"name": "home", "state": "logged_in"}))

    async def id_token(
        self, name: str, *, min_validity_seconds: int, wait_seconds: int | None, newer_than: int | None
    ) -> VendedIdToken | None:
        answer: VendedIdToken | None = await self._later(
            "id_token",
            name,
            id_token(name),
            min_validity_seconds=min_validity_seconds,
            wait_seconds=wait_seconds,
            newer_than=newer_than,
        )
        return answer

    async def begin_login(self, name: str) -> Row:
        login = {"authorization_url": "https://login.example/a", "redirect_uri": "http://localhost:8400/callback"}
        return dict(await self._later("begin_login", name, {**login, "expires_at": 1_800_000_600}))

    async def complete_login(self, name: str, response: Secret) -> Row:
        return dict(await self._later("complete_login", name, self.account(name), response=response))

    async def refresh_account(self, name: str) -> Row:
        return dict(await self._later("refresh_account", name, self.account(name)))

    async def logout(self, name: str) -> Row:
        return dict(await self._later("logout", name, {"name": name, "state": "logged_out"}))

    async def reload(self) -> Row:
        return dict(await self._later("reload", "", {"changed": ["tickets.front-door"]}))

    def status(self) -> Row:
        return dict(self._answer("status", {"version": "0", "runway": {"seconds": 86400}}))

    def readiness(self) -> tuple[bool, Row]:
        ready, row = self._answer("readiness", (True, {"ready": True, "reasons": []}))
        return ready, row

    def metrics(self) -> str:
        return str(self._answer("metrics", "# EOF\n"))
