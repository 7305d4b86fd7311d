"""What is installed: the configuration in force, and the state, accounts and ways to the cloud made of it.

Knows adapters and services, no socket and no lifecycle. The one invariant: `prepare` may refuse and has then changed
nothing; what it prepared is put in force without a refusal.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from broker import assembly
from broker.adapters.lock import StateLock
from broker.adapters.process import erase_initial_environment
from broker.adapters.published import PublishedFiles
from broker.adapters.worker import ThreadWorker
from broker.config.changes import describe_changes, in_force_after_reload
from broker.config.file import find_config_file, read_config
from broker.config.warnings import config_warnings
from broker.core.trouble import Trouble
from broker.services.counting import counted
from broker.services.fleet import Account, Cloud, Surroundings
from broker.services.reminders import Reminders

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping
    from pathlib import Path

    from broker.config import AccountConfig, Config, PublishConfig
    from broker.errors import StoreUnavailable
    from broker.fanout import Fanout
    from broker.ports import Clock, HomeCatalogue, TicketIssuer
    from broker.services.timekeeper import Timekeeper

DISK_THREADS = 2
EXCHANGE_THREADS = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that can be put in force, and the new ways to the cloud that it needs."""

    config: Config
    clouds: Mapping[str, Cloud]
    changes: list[str]


class Installation:
    """The accounts with their logins and tickets, and what they stand on.

    `spawn` starts a flight, `wake` the sweep, both in the loop.
    """

    def __init__(
        self,
        config_path: Path | None,
        environ: MutableMapping[str, str],
        parts: assembly.Parts,
        *,
        clock: Clock,
        timekeeper: Timekeeper,
        events: Fanout,
        spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]],
        wake: Callable[[], None],
    ) -> None:
        self.config: Config | None = None
        self.accounts: dict[str, Account] = {}
        self.state: dict[str, str] | None = None  # where it is, and what protects it
        self.refused: Trouble | None = None  # why the last reload left the old configuration in force
        self.reminders = Reminders(events)
        self.disk_worker = ThreadWorker("disk", DISK_THREADS)
        self.exchange_worker = ThreadWorker("exchange", EXCHANGE_THREADS)
        self._explicit_path = config_path
        self._environ = environ
        self._parts = parts
        self._clock = clock
        self._timekeeper = timekeeper
        self._events = events
        self._spawn = spawn
        self._wake = wake
        self._publisher = PublishedFiles({})
        self._lock: StateLock | None = None
        self._around: Surroundings | None = None
        self._retired: list[Cloud] = []
        self._removed: dict[str, Account] = {}
        self._left_over: Mapping[str, StoreUnavailable] = {}  # published files that are named no more and still there

    def troubles(self) -> Iterator[Trouble]:
        """What a person must mend that is no account's."""
        yield from (each for each in (self.refused, self._events.hook_health.trouble) if each is not None)
        if self.reminders.trouble is not None:
            yield Trouble("state of reminders", self.reminders.trouble)
        for name, error in self._left_over.items():
            yield Trouble(f"published file of {name}", error)

    def stood_for(self, subject: str, code: str) -> float | None:
        """For how many seconds a problem has stood that only a person can mend; None where that is not known."""
        return self.reminders.since(subject, code, self._timekeeper.now())

    # the configuration

    def read(self) -> Config:
        """Read the configuration. Blocking. Raises: ConfigError."""
        path = find_config_file(self._explicit_path, self._environ)
        config = read_config(path, self._environ, previous=self.config)
        if self._environ is os.environ:
            erase_initial_environment(self._environ)  # what `env:` took out would stand in /proc/PID/environ
        return config

    async def prepare(self, config: Config) -> Prepared:
        """Make what a configuration needs before it can be in force. Raises: BrokerError."""
        changes = ["started"] if self.config is None else describe_changes(self.config, config)
        if self.config is not None:
            config = in_force_after_reload(self.config, config)
        if self._around is None:
            self._around = await self._open_state(config)
        clouds = {
            name: await asyncio.to_thread(self.make_cloud, account)
            for name, account in config.accounts.items()
            if name not in self.accounts or self.accounts[name].config != account
        }
        return Prepared(config, clouds, changes)

    async def put_in_force(self, prepared: Prepared) -> None:
        """Give log, hooks, published files and accounts what was prepared; unchanged accounts keep their state."""
        assert self._around is not None
        config, around = prepared.config, self._around
        self._events.log.configure(config.log.level, config.log.format)
        self._events.run_hooks(config.hooks.command)
        await self._publish_to({name: ticket.publish for name, ticket in config.tickets.items() if ticket.publish})
        await self._retire(config, prepared.clouds)
        added = assembly.set_fleet(self.accounts, config, lambda account: prepared.clouds[account.name], around)
        for account in added:
            await self._open(account)
        assembly.set_tickets(self.accounts, config, around)
        before, self.config, self.refused = self.config, config, None
        self._tell(config, prepared.changes)
        if before is not None and before.hooks != config.hooks:
            self._events.emit("hook.installed")

    async def _open(self, account: Account) -> None:
        """Take up what a new account has on disk.

        One that was removed may still be about to write there: the end of its refresh and its save are waited for.
        """
        removed = self._removed.pop(account.config.name, None)
        if removed is not None and removed.identity.token.in_flight:
            await asyncio.wait({removed.identity.token.start()})
        await asyncio.to_thread(account.identity.open)
        await asyncio.to_thread(account.book.open)
        for moment in account.book.moments():
            self._timekeeper.learn(moment)
        account.identity.journal.compare(account.book.login_mark)
        account.identity.adopt()

    async def _retire(self, config: Config, replaced: Mapping[str, Cloud]) -> None:
        """Put aside the ways to the cloud that are used no more; a call under way may still end on them."""
        for cloud in self._retired:
            await cloud.issuer.close()
        self._removed |= {name: account for name, account in self.accounts.items() if name not in config.accounts}
        gone = [name for name in self.accounts if name not in config.accounts or name in replaced]
        self._retired = [self.accounts[name].cloud for name in gone]

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
        await asyncio.to_thread(self.reminders.open, store)
        self.state = {"directory": str(config.state.directory), "key_source": source}
        return Surroundings(
            store=store,
            worker=self.disk_worker,
            exchanges=self.exchange_worker,
            timekeeper=self._timekeeper,
            events=self._events,
            publisher=self._publisher,
            spawn=self._spawn,
            rest_seconds=self._parts.rest_seconds,
            wake=self._wake,
        )

    async def _publish_to(self, targets: Mapping[str, PublishConfig]) -> None:
        self._left_over = await self.disk_worker.run(partial(self._publisher.retarget, targets))
        for name, error in self._left_over.items():
            self._events.emit("publish.failed", ticket=name, detail=error.message, hint=error.hint)

    def _tell(self, config: Config, changes: list[str]) -> None:
        if changes == ["started"]:
            self._events.emit(
                "config.loaded", file=config.file, accounts=len(self.accounts), tickets=len(config.tickets)
            )
        else:
            self._events.emit("config.reloaded", file=config.file, changes="; ".join(changes) or "nothing changed")
        for warning in config_warnings(config):
            self._events.emit("config.warned", file=config.file, detail=warning)

    # the ways to the cloud

    def make_cloud(self, config: AccountConfig) -> Cloud:
        """The ways of one account to its cloud, each call counted. Blocking."""
        cloud = (self._parts.make_cloud or assembly.real_cloud)(config, self._clock)
        return counted(cloud, config.name, self._events.counters)

    async def issuer_for(self, config: AccountConfig) -> TicketIssuer:
        """A way to the call-in operation under other settings, for a probe."""
        cloud = await asyncio.to_thread(self.make_cloud, config)
        return cloud.issuer

    def catalogue_for(self, config: AccountConfig) -> HomeCatalogue:
        """A way to the list of plants and modules."""
        from broker.adapters.providers import make_catalogue

        return make_catalogue(config, self._clock)

    # the end

    async def close_clouds(self) -> None:
        """Drop the connections to the cloud."""
        for cloud in [*self._retired, *(account.cloud for account in self.accounts.values())]:
            await cloud.issuer.close()

    def release(self) -> None:
        """End the workers and give up the state directory."""
        self.disk_worker.close()
        self.exchange_worker.close()
        if self._lock is not None:
            self._lock.release()
