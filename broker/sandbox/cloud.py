"""Cloud: the stand-in for the ELIOT cloud as one object, on loopback TLS, in the running loop.

Everything a test or `eliot-broker sandbox` touches is here; its methods may be called from any thread.
The one invariant: it listens on loopback addresses only, with a certificate of an authority of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from aiohttp import web

from broker.sandbox import credentials
from broker.sandbox.certificates import LOOPBACK_NAMES, CertificateAuthority
from broker.sandbox.changes import apply_change
from broker.sandbox.control import add_control
from broker.sandbox.grants import Grants
from broker.sandbox.options import Options
from broker.sandbox.routes import add_routes
from broker.sandbox.state import CloudState

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from broker.sandbox.calls import CallLog
    from broker.sandbox.scenarios import Scenario
    from broker.sandbox.weather import Script

WALL_CLOCK = time.time  # noqa: TID251 -- the cloud is the world outside: its clock is the real one
LOOPBACK: Final = "127.0.0.1"


class Cloud:
    """The cloud; `async with Cloud(options) as cloud`. `now` is Unix seconds, `port` 0 means any, `host` an address.

    `directory` is where `ca.pem` is written; None: a temporary one that vanishes at the end.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        directory: Path | None = None,
        host: Literal["127.0.0.1", "::1"] = LOOPBACK,
        port: int = 0,
        now: Callable[[], float] = WALL_CLOCK,
    ) -> None:
        self.options = options or Options()
        self._state = CloudState(self.options, now, Grants(self.options))
        self._directory = directory
        self._temporary: Path | None = None
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._authority: CertificateAuthority | None = None

    # where it is

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._port

    @property
    def origin(self) -> str:
        """`https://127.0.0.1:PORT`; the certificate is good for `localhost` too."""
        host = self._host if self._host == LOOPBACK else f"[{self._host}]"
        return f"https://{host}:{self._port}"

    @property
    def partner_authority(self) -> str:
        """The `authority` of a partner account."""
        return self.origin

    def b2c_authority(self, policy: str = credentials.POLICY, *, tenant: str = credentials.TENANT) -> str:
        """The `authority` of a b2c account: `.../TENANT/POLICY`."""
        return f"{self.origin}/{tenant}/{policy}"

    @property
    def oidc_authority(self) -> str:
        """The `authority` (issuer) of an oidc account."""
        return f"{self.origin}/oidc"

    @property
    def api_base_url(self) -> str:
        """The `base_url` of an account's API."""
        return f"{self.origin}/vdeproducts/v1.0"

    @property
    def ca_file(self) -> Path:
        """The certificate authority's PEM file."""
        directory = self._directory or self._temporary
        assert directory is not None, "the cloud is started"
        return directory / "ca.pem"

    @property
    def authority(self) -> CertificateAuthority:
        """The certificate authority, for a test's other servers."""
        assert self._authority is not None, "the cloud is started"
        return self._authority

    # what it does, did and will do

    @property
    def script(self) -> Script:
        """The weather: faults and hooks."""
        return self._state.script

    @property
    def calls(self) -> CallLog:
        """The request log."""
        return self._state.calls

    @property
    def tickets_issued(self) -> int:
        """How many tickets were made."""
        return self._state.tickets_issued

    @property
    def seconds(self) -> float:
        """The time that the cloud believes in, skew included."""
        return self._state.cloud_seconds

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign id tokens with a new key; the old ones stay published or vanish."""
        self._state.keys.rotate(keep_old=keep_old)

    def revoke(self, user: str | None = None) -> None:
        """Revoke every login, or one person's: refreshes answer AADB2C90129."""
        self._state.grants.revoke(user)

    def expire_logins(self) -> None:
        """Let every refresh token have expired: AADB2C90080."""
        self._state.grants.expire()

    def exhaust_quota(self, *, left_seconds: float = 25_280) -> None:
        """Let every subscription key's quota be used up, to be replenished in `left_seconds`."""
        for key in self.options.subscription_keys:
            self._state.meter.exhaust(key, self.seconds, left_seconds=left_seconds)

    def replenish_quota(self) -> None:
        """Forget what was counted against quota and rate."""
        self._state.meter.replenish()

    def quota_used(self, key: str = credentials.SUBSCRIPTION_KEY) -> int:
        """Calls counted in the present day of this subscription key."""
        window = self._state.meter.days.get(key)
        return window.used if window else 0

    def play(self, scenario: Scenario) -> None:
        """Start a scenario's steps, counted from now; a running one is broken off."""
        assert self._loop is not None, "the cloud is started"
        self._loop.call_soon_threadsafe(self._schedule, scenario)

    def _schedule(self, scenario: Scenario) -> None:
        loop = asyncio.get_running_loop()
        self._cancel_timers()
        for step in scenario.steps:
            if step.at_seconds <= 0:
                apply_change(self, step.action, step.values)
            else:
                timer = loop.call_later(step.at_seconds, apply_change, self, step.action, step.values)
                self._timers.append(timer)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # its life

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._authority, context = await asyncio.to_thread(self._prepare)
        app = web.Application()
        add_control(app, self)
        add_routes(app, self._state)
        self._state.script.start(self._loop)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=context)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cancel_timers()
        self._state.script.stop()
        if self._runner is not None:
            await self._hang_up(self._runner)
            await self._runner.cleanup()
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary)

    @staticmethod
    async def _hang_up(runner: web.AppRunner) -> None:
        """Stop listening and cut what is open: a polite TLS goodbye would wait for clients' idle connections."""
        for site in list(runner.sites):
            await site.stop()
        for connection in runner.server.connections if runner.server else ():
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()

    def _prepare(self) -> tuple[CertificateAuthority, ssl.SSLContext]:
        """The slow part of a start: keys, certificates, the CA's file."""
        if self._directory is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="eliot-sandbox-"))
        authority = CertificateAuthority(WALL_CLOCK())
        self.ca_file.write_bytes(authority.pem)
        self._state.keys.published()
        names = ("elsewhere.example",) if self.options.certificate == "wrong_name" else LOOPBACK_NAMES
        return authority, authority.server_context(names, expired=self.options.certificate == "expired")
