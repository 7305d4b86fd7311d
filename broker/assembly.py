"""What a configuration is made into: the store with its key, the accounts with their ways to the cloud, the rules.

Knows adapters and services, no lifecycle. The one invariant: what is made here has touched the disk only to open it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.adapters import ticker, transport
from broker.adapters.disk import RealDisk
from broker.adapters.state_key import StateKey, open_key_file, staged_key
from broker.adapters.store import SealedStore
from broker.api import server
from broker.core.access import AccessPolicy
from broker.core.session import REST_SECONDS
from broker.services import fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.config import AccountConfig, Config, TicketConfig
    from broker.ports import Clock, Disk, Events


@dataclass(frozen=True, slots=True)
class Parts:
    """What tests and rehearsals replace: the disk, the rest after an ambiguous attempt, the way to the cloud."""

    disk: Disk = field(default_factory=RealDisk)
    rest_seconds: float = REST_SECONDS
    make_cloud: Callable[[AccountConfig, Clock], fleet.Cloud] | None = None  # None: the real one


def open_store(config: Config, disk: Disk, events: Events) -> tuple[SealedStore, str]:
    """The sealed store, and where its key is from. Blocking. Raises: StoreUnavailable, ConfigError."""
    directory = config.state.directory
    reference = config.state.key
    if reference is None:
        key = open_key_file(directory, disk)
    else:
        key = StateKey.from_secret(reference.value, f"{reference.source}:{reference.name}")
    staged = staged_key(directory, disk)
    store = SealedStore(
        directory,
        disk,
        key,
        also=() if staged is None else (staged,),
        report=lambda name, reason: events.emit("store.slot_repaired", document=name, detail=reason),
    )
    store.prepare()
    return store, key.source


def real_cloud(config: AccountConfig, clock: Clock) -> fleet.Cloud:
    """The ways of one account to the real cloud."""
    from broker.adapters.providers import make_issuer, make_provider

    provider, verifier = make_provider(config, clock)
    return fleet.Cloud(provider, verifier, make_issuer(config, clock))


def load_the_rest() -> None:
    """Import what a start can do without: aiohttp and APScheduler. Blocking, for a thread: 0.3 s."""
    server.load()
    transport.load()
    ticker.load()


def access_policy(config: Config | None) -> AccessPolicy:
    """The rules in force; without a configuration only the broker's own user and root are admins."""
    if config is None:
        return AccessPolicy(os.geteuid(), ("user:root",))
    return AccessPolicy(
        own_uid=os.geteuid(),
        admins=config.admins,
        tickets={name: ticket.allow for name, ticket in config.tickets.items()},
        id_tokens={name: account.allow_id_token for name, account in config.accounts.items()},
    )


def set_fleet(
    accounts: dict[str, fleet.Account],
    config: Config,
    cloud_of: Callable[[AccountConfig], fleet.Cloud],
    around: fleet.Surroundings,
) -> list[fleet.Account]:
    """Make `accounts` what the configuration says; the new ones, which must be opened before they are used.

    Accounts that go on keep login, book and tickets; those removed keep their files.
    """
    for name in [name for name in accounts if name not in config.accounts]:
        fleet.set_tickets(accounts.pop(name), (), around)  # who watches them is told that they are gone
    added = []
    for name, account_config in config.accounts.items():
        account = accounts.get(name)
        if account is None:
            account = accounts[name] = fleet.make_account(account_config, cloud_of(account_config), around)
            added.append(account)
        elif account.config != account_config:
            fleet.reconfigure(account, account_config, cloud_of(account_config), around)
    return added


def set_tickets(accounts: Mapping[str, fleet.Account], config: Config, around: fleet.Surroundings) -> None:
    """Give every account the tickets that the configuration says."""
    of_account: dict[str, list[TicketConfig]] = {name: [] for name in accounts}
    for ticket in config.tickets.values():
        of_account[ticket.account].append(ticket)
    for name, account in accounts.items():
        fleet.set_tickets(account, of_account[name], around)
