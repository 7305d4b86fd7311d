"""The daemon: builds every object, owns the tasks, starts and stops in the right order.

The composition root: everything below knows only what it is handed. The one invariant: a bug ends the process loudly,
and nothing that a token request brings is lost on the way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import broker
from broker import assembly
from broker.adapters.clock import SystemClock
from broker.adapters.collector import Collector
from broker.adapters.log import StandardLog
from broker.adapters.process import give_back_memory, let_go_of_text
from broker.adapters.systemd import ServiceManager, adopt_sockets
from broker.adapters.ticker import Ticker
from broker.api.endpoint import adopt_socket, bind_socket
from broker.api.limits import Limits, raise_descriptor_limit
from broker.api.listener import Listener
from broker.api.metrics_listener import MetricsListener
from broker.core.trouble import refused_reload
from broker.errors import BrokerError, StoreError
from broker.fanout import Fanout
from broker.flights import Flights
from broker.heartbeat import Heartbeat
from broker.installation import Installation
from broker.login_window import RedirectWindow, check_free
from broker.services.desk import Desk
from broker.services.homes import Homes
from broker.services.hook_health import SUBJECT as HOOK
from broker.services.logins import Logins
from broker.services.maintenance import Maintenance
from broker.services.probe import Prober
from broker.services.timekeeper import Timekeeper

if TYPE_CHECKING:
    from collections.abc import Coroutine, MutableMapping

    from broker.api.endpoint import Endpoint
    from broker.config import Config
    from broker.core.secret import Secret

# A stop: requests get 2 s (and a moment to be read), calls 3.5 s (flights.py); with the saving it ends within 5 s.
REQUESTS_END_SECONDS = 2.0
TIDY_SECONDS = 60.0
HOOKS_END_SECONDS = 4.5  # since the stop began: a stop takes less than 5 s
STATE_RETRY_SECONDS = 30.0


class App:
    """One broker, from start to stop."""

    def __init__(
        self,
        config_path: Path | None,
        environ: MutableMapping[str, str],
        parts: assembly.Parts | None = None,
        events: Fanout | None = None,
    ) -> None:
        self._clock = SystemClock()
        self._collector = Collector()
        self._manager = ServiceManager(environ)
        self._adopted = [adopt_socket(descriptor) for descriptor in adopt_sockets(environ)]
        self._events = events or Fanout(StandardLog("info", "auto", sys.stderr, self._clock), self._clock)
        self._timekeeper = Timekeeper(self._clock, self._events)
        self._installed = Installation(
            config_path,
            environ,
            parts or assembly.Parts(),
            clock=self._clock,
            timekeeper=self._timekeeper,
            events=self._events,
            spawn=self._spawn,
            wake=self._wake,
        )
        self._accounts = self._installed.accounts
        self._reloading = asyncio.Lock()
        self._tidied_at = 0.0
        self._flights = Flights(self._installed.exchange_worker, self._manager.extend_timeout)
        self._told_status = ""
        self._state_retry_at = 0.0

    # start

    async def run(self) -> int:
        """Serve until told to stop; the exit code."""
        self._events.bind(asyncio.get_running_loop())
        self._stop = asyncio.Event()
        self._window = RedirectWindow(self._redirected)
        self._logins = Logins({}, timekeeper=self._timekeeper, events=self._events, window=self._window)
        self._desk = Desk(
            logins=self._logins,
            timekeeper=self._timekeeper,
            facts={"version": broker.__version__, "started_at": int(self._timekeeper.wall_seconds())},
            wake=self._wake,
            reload=self.reload,
            prober=Prober(self._installed.issuer_for, timekeeper=self._timekeeper, events=self._events),
            homes=Homes(self._installed.catalogue_for, timekeeper=self._timekeeper),
            counters=self._events.counters,
        )
        self._metrics = MetricsListener(self._desk.metrics)
        self._desk.accounts_by_name = self._accounts
        self._desk.troubles, self._desk.stood_for = self._installed.troubles, self._installed.stood_for
        self._maintenance = Maintenance(
            lambda: self._accounts, logins=self._logins, timekeeper=self._timekeeper, events=self._events
        )
        self._ticker = Ticker(self._sweep, self._clock)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                endpoints = await self._begin()
                await self._serve(endpoints)
        finally:
            self._collector.give_back()
            self._installed.release()
        return 0

    async def _begin(self) -> list[Endpoint]:
        """Configuration, state, socket, in this order. Raises: BrokerError, unless the socket was given to us.

        Then we stay and answer every request with the reason: to fail again and again would take the socket down.
        """
        try:
            config = self._installed.read()
            if not self._adopted and config.login.listen:
                check_free(config.login.listen)
            await self._apply(config)
        except BrokerError as error:
            if not self._adopted:
                raise
            self._degrade(error)
        return self._adopted or [bind_socket(config.socket)]

    def _degrade(self, error: BrokerError) -> None:
        if self._desk.degraded is None or self._desk.degraded.message != error.message:
            self._events.emit("config.degraded", detail=error.message)
        self._desk.degraded = error
        self._desk.policy = assembly.access_policy(None)
        self._state_retry_at = self._monotonic() + STATE_RETRY_SECONDS

    async def _undegrade(self) -> None:
        """A state directory that could not be used may be usable by now; a configuration waits for its reload."""
        if isinstance(self._desk.degraded, StoreError) and self._monotonic() >= self._state_retry_at:
            async with self._reloading:
                try:
                    await self._apply(await asyncio.to_thread(self._installed.read))
                except BrokerError as error:
                    self._degrade(error)

    async def _apply(self, config: Config) -> list[str]:
        """Put a configuration in force; what changed. Raises: BrokerError, with the old one in force."""
        prepared = await self._installed.prepare(config)
        config = prepared.config
        await self._metrics.move(config.metrics.listen)
        await self._installed.put_in_force(prepared)
        self._logins.identities = {name: account.identity for name, account in self._accounts.items()}
        self._window.listen = config.login.listen
        self._desk.tell("state", self._installed.state)
        self._desk.policy = assembly.access_policy(config)
        self._desk.degraded = None
        return prepared.changes

    # while it lives

    async def _serve(self, endpoints: list[Endpoint]) -> None:
        raise_descriptor_limit()
        limits = Limits(stop_seconds=REQUESTS_END_SECONDS)
        self._listener = Listener(
            self._desk,
            endpoints,
            events=self._events,
            on_bug=self._events.bug,
            limits=limits,
            on_calm=give_back_memory,
        )
        self._listener.start()
        self._handle_signals()
        path = Path(endpoints[0].socket.getsockname())
        self._heartbeat = Heartbeat(self._manager, path, given=bool(self._adopted), monotonic=self._monotonic)
        self._collector.settle()
        self._manager.ready(self._status_line())
        self._tell_started(path)
        telling = self._group.create_task(self._events.hooks.run())
        await asyncio.to_thread(assembly.load_the_rest)
        self._collector.settle()  # the rest stays, too
        ticking = self._group.create_task(self._ticker.run())
        await self._stop.wait()
        await self._shut_down(ticking, telling)

    def _tell_started(self, path: Path) -> None:
        """To the hook too, which is thereby tried at each start."""
        tickets = sum(len(account.tickets) for account in self._accounts.values())
        facts = {"version": broker.__version__, "pid": os.getpid(), "socket": path}
        self._events.emit("service.started", **facts, accounts=len(self._accounts), tickets=tickets)

    async def _sweep(self) -> float:
        self._events.counters.swept(self._monotonic())
        await self._undegrade()
        due = await self._maintenance.sweep()
        due = min(due, self._installed.reminders.look(self._desk.attention, self._timekeeper.now()))
        await self._installed.reminders.save(self._installed.disk_worker)
        self._tell_status()
        self._tidy()
        await self._heartbeat.beat()
        every = self._heartbeat.every_seconds
        due = due if every is None else min(due, every)
        self._events.counters.next_sweep_at(self._monotonic() + due)
        return due

    def _tidy(self) -> None:
        """Now and then give back what was taken for a moment."""
        now = self._monotonic()
        if now - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = now
            give_back_memory()
            let_go_of_text()

    def _wake(self) -> None:
        self._ticker.wake()

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again: what changed. Raises: ConfigError, with the old one in force."""
        async with self._reloading:
            self._manager.reloading()
            try:
                changes = await self._apply(await asyncio.to_thread(self._installed.read))
            except BrokerError as error:
                self._events.emit("config.reload_failed", detail=error.message)
                if self._installed.config is None:
                    self._degrade(error)
                else:
                    self._installed.refused = refused_reload(error)
                raise
            finally:
                self._manager.ready(self._status_line())
        self._installed.reminders.forget(HOOK)  # whoever mended it wants to know at once whether it works
        self._wake()
        return {"changes": changes}

    async def _redirected(self, response: Secret) -> str:
        """A redirect arrived at the listener: whose login it was. Raises: BrokerError."""
        identity = await self._logins.complete_redirect(response)
        self._wake()
        session = identity.session
        who = None if session is None else session.display_name or session.subject
        return identity.name if who is None else f"{identity.name} ({who})"

    # the way out

    async def _shut_down(self, ticking: asyncio.Task[None], telling: asyncio.Task[None]) -> None:
        self._manager.stopping("stopping")
        self._events.emit("service.stopping")
        self._events.hooks.close()
        began = self._monotonic()
        ticking.cancel()
        await asyncio.wait({ticking})
        await self._logins.close()
        await self._metrics.stop()
        await asyncio.gather(self._listener.stop(), self._flights.end())
        for account in self._accounts.values():
            with contextlib.suppress(BrokerError):  # told when it began to fail
                await self._installed.disk_worker.run(account.identity.journal.flush)
            if account.book.unsaved:
                await account.book.commit()
            for ticket in account.tickets.values():
                await ticket.withdraw()
        await self._installed.close_clouds()
        await asyncio.wait({telling}, timeout=max(0.0, began + HOOKS_END_SECONDS - self._monotonic()))
        telling.cancel()
        await asyncio.wait({telling})
        self._events.emit("service.stopped")

    # odds and ends of the process

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        flight = self._flights.add(self._group.create_task(work))
        self._collector.flown()
        flight.add_done_callback(self._collector.flown)
        return flight

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_by_signal()))

    async def _reload_by_signal(self) -> None:
        with contextlib.suppress(BrokerError):  # told as config.reload_failed
            await self.reload()

    def _monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def _tell_status(self) -> None:
        """One line, told when it is another one."""
        line = self._status_line()
        if line != self._told_status and not self._stop.is_set():
            self._told_status = line
            self._manager.status(line)

    def _status_line(self) -> str:
        return self._desk.status_line()
