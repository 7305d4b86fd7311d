"""The daemon: builds every object, owns the tasks, starts and stops in the right order.

The composition root: everything below knows only what it is handed. The one invariant: a bug ends the process loudly,
and nothing that a token request brings is lost on the way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import broker
from broker import assembly
from broker.adapters.clock import SystemClock
from broker.adapters.hooks import Hooks
from broker.adapters.lock import StateLock
from broker.adapters.log import StandardLog
from broker.adapters.process import CrashReports, erase_initial_environment, give_back_memory, shut_in, spare_memory
from broker.adapters.published import PublishedFiles
from broker.adapters.redaction import crash_report
from broker.adapters.systemd import ServiceManager, adopt_sockets
from broker.adapters.ticker import Ticker
from broker.adapters.worker import ThreadWorker
from broker.api.endpoint import adopt_socket, bind_socket
from broker.api.limits import Limits, raise_descriptor_limit
from broker.api.listener import Listener
from broker.api.metrics_listener import MetricsListener
from broker.config.changes import describe_changes, in_force_after_reload
from broker.config.file import find_config_file, read_config
from broker.config.warnings import config_warnings
from broker.errors import BrokerError, StoreError
from broker.heartbeat import Heartbeat
from broker.login_window import RedirectWindow, check_free
from broker.services.counters import Counters
from broker.services.counting import counted
from broker.services.desk import Desk
from broker.services.fleet import Account, Cloud, Surroundings
from broker.services.homes import Homes
from broker.services.logins import Logins
from broker.services.maintenance import Maintenance
from broker.services.probe import Prober
from broker.services.reminders import Reminders
from broker.services.timekeeper import Timekeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, MutableMapping

    from broker.api.endpoint import Endpoint
    from broker.config import AccountConfig, Config
    from broker.core.secret import Secret
    from broker.ports import HomeCatalogue, TicketIssuer

DISK_THREADS = 2
EXCHANGE_THREADS = 16
# A stop: requests get 2 s (and a moment to be read), calls 3.5 s; with the saving it ends within 5 s.
REQUESTS_END_SECONDS = 2.0
TIDY_SECONDS = 60.0
TIDY_TICKETS = 200
CALLS_END_SECONDS = 3.5
EXCHANGES_END_SECONDS = 30.0
CRASHED = 1
STATE_RETRY_SECONDS = 30.0


class Fanout:
    """ports.Events: the log and the hooks."""

    def __init__(self, log: StandardLog) -> None:
        self.log = log
        self.hooks = Hooks((), on_failure=self._hook_failed)
        self.counters = Counters()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def emit(self, event: str, **facts: object) -> None:
        """Tell everybody who listens; from any thread, for the steps in the worker tell things, too."""
        self.log.emit(event, **facts)
        self.counters.hear(event, facts)
        if self.loop is None or threading.get_ident() == self._thread:
            self.hooks.emit(event, **facts)
        else:
            self.loop.call_soon_threadsafe(partial(self.hooks.emit, event, **facts))

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The hooks run in this loop, which is the calling thread's."""
        self.loop, self._thread = loop, threading.get_ident()

    def bug(self, error: BaseException) -> None:
        """Tell a defect of ours, with its traceback."""
        self.log.emit("request.failed", detail=type(error).__name__, traceback=crash_report(error))

    def _hook_failed(self, event: str, detail: str) -> None:
        self.counters.hear("hook.failed", {})
        self.log.emit("hook.failed", hook_event=event, detail=detail)


class App:
    """One broker, from start to stop."""

    def __init__(
        self,
        config_path: Path | None,
        environ: MutableMapping[str, str],
        parts: assembly.Parts | None = None,
        log: StandardLog | None = None,
    ) -> None:
        self._parts = parts or assembly.Parts()
        self._environ = environ
        self._explicit_path = config_path
        self._config: Config | None = None
        self._clock = SystemClock()
        self._manager = ServiceManager(environ)
        self._adopted = [adopt_socket(descriptor) for descriptor in adopt_sockets(environ)]
        self._events = Fanout(log or StandardLog("info", "auto", sys.stderr, self._clock))
        self._timekeeper = Timekeeper(self._clock, self._events)
        self._disk_worker = ThreadWorker("disk", DISK_THREADS)
        self._exchange_worker = ThreadWorker("exchange", EXCHANGE_THREADS)
        self._publisher = PublishedFiles({})
        self._accounts: dict[str, Account] = {}
        self._lock: StateLock | None = None
        self._reloading = asyncio.Lock()
        self._around: Surroundings | None = None
        self._tidied_at = 0.0
        self._flights: set[asyncio.Task[None]] = set()
        self._retired: list[Cloud] = []
        self._told_status = ""
        self._reminders = Reminders(self._events)
        self._state_retry_at = 0.0

    # start

    def read(self) -> Config:
        """Read the configuration. Raises: ConfigError."""
        path = find_config_file(self._explicit_path, self._environ)
        config = read_config(path, self._environ, previous=self._config)
        if self._environ is os.environ:
            erase_initial_environment(self._environ)  # what `env:` took out would stand in /proc/PID/environ
        return config

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
            prober=Prober(self._issuer_for, timekeeper=self._timekeeper, events=self._events),
            homes=Homes(self._catalogue_for, timekeeper=self._timekeeper),
            counters=self._events.counters,
        )
        self._metrics = MetricsListener(self._desk.metrics)
        self._desk.accounts_by_name = self._accounts
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
            self._release()
        return 0

    async def _begin(self) -> list[Endpoint]:
        """Configuration, state, socket, in this order. Raises: BrokerError, unless the socket was given to us.

        Then we stay and answer every request with the reason: to fail again and again would take the socket down.
        """
        try:
            config = self.read()
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
                    await self._apply(await asyncio.to_thread(self.read))
                except BrokerError as error:
                    self._degrade(error)

    async def _apply(self, config: Config) -> list[str]:
        """Put a configuration in force; what changed. Raises: BrokerError, with the old one in force."""
        changes = ["started"] if self._config is None else describe_changes(self._config, config)
        if self._config is not None:
            config = in_force_after_reload(self._config, config)
        if self._around is None:
            self._around = await self._open_state(config)
        around = self._around
        clouds = {
            name: await asyncio.to_thread(self._make_cloud, account)
            for name, account in config.accounts.items()
            if name not in self._accounts or self._accounts[name].config != account
        }
        await self._metrics.move(config.metrics.listen)
        self._events.log.configure(config.log.level, config.log.format)
        targets = {name: ticket.publish for name, ticket in config.tickets.items() if ticket.publish is not None}
        await self._withdraw_others(config)
        self._publisher.retarget(targets)
        self._events.hooks.command = config.hooks.command
        await self._retire(config, clouds)
        added = assembly.set_fleet(self._accounts, config, lambda account: clouds[account.name], around)
        for account in added:
            await asyncio.to_thread(account.identity.open)
            await asyncio.to_thread(account.book.open)
            if account.book.saved is not None:
                self._timekeeper.learn(account.book.saved)
            account.identity.journal.compare(account.book.login_mark)
            account.identity.adopt()
        assembly.set_tickets(self._accounts, config, around)
        self._logins.identities = {name: account.identity for name, account in self._accounts.items()}
        self._window.listen = config.login.listen
        self._desk.policy = assembly.access_policy(config)
        self._desk.degraded = None
        self._config = config
        self._tell_changes(changes)
        return changes

    async def _retire(self, config: Config, replaced: Mapping[str, Cloud]) -> None:
        """Put aside the ways to the cloud that are used no more; a call under way may still end on them."""
        for cloud in self._retired:
            await cloud.issuer.close()
        gone = [name for name in self._accounts if name not in config.accounts or name in replaced]
        self._retired = [self._accounts[name].cloud for name in gone]

    async def _open_state(self, config: Config) -> Surroundings:
        """Lock and open the state directory. Raises: AlreadyRunning, StoreError, ConfigError."""
        lock = StateLock(config.state.directory)
        lock.acquire()
        try:
            store, source = await asyncio.to_thread(assembly.open_store, config, self._parts.disk, self._events)
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        self._desk.tell("state", {"directory": str(config.state.directory), "key_source": source})
        return Surroundings(
            store=store,
            worker=self._disk_worker,
            exchanges=self._exchange_worker,
            timekeeper=self._timekeeper,
            events=self._events,
            publisher=self._publisher,
            spawn=self._spawn,
            rest_seconds=self._parts.rest_seconds,
            wake=self._wake,
        )

    async def _withdraw_others(self, config: Config) -> None:
        """Remove the published files that the new configuration no longer names."""
        if self._config is None:
            return
        for name, ticket in self._config.tickets.items():
            after = config.tickets.get(name)
            if ticket.publish is not None and (after is None or after.publish != ticket.publish):
                await self._disk_worker.run(partial(self._publisher.withdraw, name))

    def _tell_changes(self, changes: list[str]) -> None:
        config = self._config
        assert config is not None
        if changes == ["started"]:
            self._events.emit(
                "config.loaded", file=config.file, accounts=len(self._accounts), tickets=len(config.tickets)
            )
        else:
            self._events.emit("config.reloaded", file=config.file, changes="; ".join(changes) or "nothing changed")
        for warning in config_warnings(config):
            self._events.emit("config.warned", file=config.file, detail=warning)

    def _make_cloud(self, config: AccountConfig) -> Cloud:
        cloud = (self._parts.make_cloud or assembly.real_cloud)(config, self._clock)
        return counted(cloud, config.name, self._events.counters)

    async def _issuer_for(self, config: AccountConfig) -> TicketIssuer:
        """A way to the call-in operation under other settings, for a probe."""
        cloud = await asyncio.to_thread(self._make_cloud, config)
        return cloud.issuer

    def _catalogue_for(self, config: AccountConfig) -> HomeCatalogue:
        from broker.adapters.providers import make_catalogue

        return make_catalogue(config, self._clock)

    # while it lives

    async def _serve(self, endpoints: list[Endpoint]) -> None:
        raise_descriptor_limit()
        limits = Limits(stop_seconds=REQUESTS_END_SECONDS)
        self._listener = Listener(self._desk, endpoints, events=self._events, on_bug=self._events.bug, limits=limits)
        await self._listener.start()
        self._handle_signals()
        path = Path(endpoints[0].socket.getsockname())
        self._heartbeat = Heartbeat(self._manager, path, given=bool(self._adopted), monotonic=self._monotonic)
        gc.collect()
        gc.freeze()  # what is here stays: no collection looks at it again, and none takes 30 ms
        self._manager.ready(self._status_line())
        self._events.emit("service.ready", version=broker.__version__, accounts=len(self._accounts))
        telling = self._group.create_task(self._events.hooks.run())
        ticking = self._group.create_task(self._ticker.run())
        await self._stop.wait()
        await self._shut_down(ticking, telling)

    async def _sweep(self) -> float:
        self._events.counters.swept(self._monotonic())
        await self._undegrade()
        due = await self._maintenance.sweep()
        due = min(due, self._reminders.look(self._desk.attention, self._timekeeper.now()))
        self._tell_status()
        self._tidy()
        await self._heartbeat.beat()
        every = self._heartbeat.every_seconds
        due = due if every is None else min(due, every)
        self._events.counters.next_sweep_at(self._monotonic() + due)
        return due

    def _tidy(self) -> None:
        """Now and then give back what was taken for a moment; with many tickets that would hold the loop."""
        now = self._monotonic()
        tickets = sum(len(account.tickets) for account in self._accounts.values())
        if now - self._tidied_at >= TIDY_SECONDS and tickets <= TIDY_TICKETS:
            self._tidied_at = now
            give_back_memory()

    def _wake(self) -> None:
        self._ticker.wake()

    async def reload(self) -> dict[str, Any]:
        """Read the configuration again: what changed. Raises: ConfigError, with the old one in force."""
        async with self._reloading:
            self._manager.reloading()
            try:
                changes = await self._apply(await asyncio.to_thread(self.read))
            except BrokerError as error:
                self._events.emit("config.reload_failed", detail=error.message)
                if self._config is None:
                    self._degrade(error)
                raise
            finally:
                self._manager.ready(self._status_line())
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
        ticking.cancel()
        await asyncio.wait({ticking})
        await self._logins.close()
        await self._metrics.stop()
        await asyncio.gather(self._listener.stop(), self._end_flights())
        for account in self._accounts.values():
            with contextlib.suppress(BrokerError):  # told when it began to fail
                await self._disk_worker.run(account.identity.journal.flush)
            if account.book.unsaved:
                await account.book.commit()
            for ticket in account.tickets.values():
                await ticket.withdraw()
        for cloud in [*self._retired, *(account.cloud for account in self._accounts.values())]:
            await cloud.issuer.close()
        telling.cancel()
        await asyncio.wait({telling})
        self._events.emit("service.stopped")

    async def _end_flights(self) -> None:
        """Give calls a moment, and a token request all the time it needs: its answer may be the only login."""
        if self._exchange_worker.busy:
            self._manager.extend_timeout(EXCHANGES_END_SECONDS + CALLS_END_SECONDS)
        await self._flown(CALLS_END_SECONDS)
        if self._exchange_worker.busy:
            await asyncio.to_thread(self._exchange_worker.drain, EXCHANGES_END_SECONDS - CALLS_END_SECONDS)
            await self._flown(CALLS_END_SECONDS)
        for flight in self._flights:
            flight.cancel()
        await self._flown(CALLS_END_SECONDS)

    async def _flown(self, seconds: float) -> None:
        if self._flights:
            await asyncio.wait(set(self._flights), timeout=seconds)

    def _release(self) -> None:
        self._disk_worker.close()
        self._exchange_worker.close()
        if self._lock is not None:
            self._lock.release()

    # odds and ends of the process

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._flights.add(task)
        task.add_done_callback(self._landed)
        return task

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flights.discard(task)
        self._tell_status()

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


def serve(config_path: Path | None, parts: assembly.Parts | None = None) -> int:
    """Run the daemon until it is told to stop; the exit code. Raises: BrokerError where it refuses to start."""
    shut_in()
    spare_memory()
    log = StandardLog("info", "auto", sys.stderr, SystemClock())
    foreign, reports = log.adopt_foreign(), CrashReports(partial(_tell_defect, log))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(App(config_path, os.environ, parts, log), reports))
    except BrokerError:
        raise
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # the last place at which a defect can be told
        refusal = _refusal(error) if isinstance(error, BaseExceptionGroup) else None
        if refusal is not None:
            raise refusal from None
        log.emit("service.crashed", detail=type(error).__name__, traceback=crash_report(error))
        return CRASHED
    finally:
        reports.give_back()
        foreign.give_back()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where the extra is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(app: App, reports: CrashReports) -> int:
    asyncio.get_running_loop().set_exception_handler(reports.in_loop)
    return await app.run()


def _tell_defect(log: StandardLog, where: str, error: BaseException | None) -> None:
    """A defect that ends nothing by itself: in a thread, a callback, a task that nobody waits for."""
    detail, trace = (None, None) if error is None else (type(error).__name__, crash_report(error))
    log.emit("defect.found", where=where, detail=detail, traceback=trace)


def _refusal(group: BaseExceptionGroup[BaseException]) -> BrokerError | None:
    """The expected failure that ended the daemon; None where a bug did."""
    only = group.exceptions[0]
    if len(group.exceptions) > 1:
        return None
    if isinstance(only, BaseExceptionGroup):
        return _refusal(only)
    return only if isinstance(only, BrokerError) else None
