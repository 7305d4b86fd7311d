"""Everything that one configuration asks for: accounts with their identity, calls, book and tickets.

Knows how the services fit together, no adapter. The one invariant: every ticket belongs to an account that is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.services.account import Account
from broker.services.book import Book
from broker.services.calls import Calls
from broker.services.exchange import Exchange
from broker.services.identity import Identity
from broker.services.journal import Journal
from broker.services.planner import Planner
from broker.services.pool import PoolService
from broker.services.tickets import TicketService

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable

    from broker.config import AccountConfig, TicketConfig
    from broker.ports import Events, IdentityProvider, IdTokenVerifier, Publisher, Store, TicketIssuer, Worker
    from broker.services.timekeeper import Timekeeper

__all__ = ["Account", "Cloud", "Surroundings", "make_account", "reconfigure", "set_tickets"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every service of the fleet is given; `worker` is for the disk, `exchanges` for the token endpoint."""

    store: Store
    worker: Worker
    exchanges: Worker
    timekeeper: Timekeeper
    events: Events
    publisher: Publisher
    spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    rest_seconds: float
    wake: Callable[[], None] = lambda: None  # asks for a sweep


@dataclass(frozen=True, slots=True)
class Cloud:
    """The three ways from one account to the cloud."""

    provider: IdentityProvider
    verifier: IdTokenVerifier
    issuer: TicketIssuer


def make_account(config: AccountConfig, cloud: Cloud, around: Surroundings) -> Account:
    """An account on its way to the cloud."""
    journal = Journal(f"account-{config.name}", around.store, around.timekeeper.now)
    book = Book(config.name, store=around.store, worker=around.worker, now=around.timekeeper.now, events=around.events)
    identity = Identity(
        config,
        exchange=_exchange(config, cloud, journal, around),
        journal=journal,
        worker=around.worker,
        exchanges=around.exchanges,
        timekeeper=around.timekeeper,
        events=around.events,
        spawn=around.spawn,
    )
    account = Account(
        config,
        cloud,
        identity,
        calls=_calls(config, cloud, identity, book, around),
        book=book,
        planner=Planner(book),
        now=around.timekeeper.now,
        wake=around.wake,
    )
    identity.on_change = account.login_changed
    book.mark_login = journal.mark
    return account


def reconfigure(account: Account, config: AccountConfig, cloud: Cloud, around: Surroundings) -> None:
    """The same account under new settings: journal, book and login go on."""
    account.config, account.cloud = config, cloud
    account.identity.reconfigure(config, _exchange(config, cloud, account.identity.journal, around))
    account.calls = _calls(config, cloud, account.identity, account.book, around)


def set_tickets(account: Account, configs: Iterable[TicketConfig], around: Surroundings) -> None:
    """Give the account these tickets and no others; those that it has go on, with what the book holds of them."""
    before, account.tickets, touch = account.tickets, {}, account.touch
    account.agenda.clear()
    account.planner.forget()
    for config in configs:
        kept = before.get(config.name)
        if kept is not None and kept.config.single_use == config.single_use:
            kept.reconfigure(config, account.calls)
            del before[config.name]
            account.tickets[config.name] = kept
        else:
            account.tickets[config.name] = _ticket(account, config, around, touch)
    for gone in before.values():
        gone.forget()
    account.calls.adopt()
    for ticket in account.tickets.values():
        ticket.adopt()
    account.planner.replan(account.calls)


def _exchange(config: AccountConfig, cloud: Cloud, journal: Journal, around: Surroundings) -> Exchange:
    return Exchange(
        config,
        provider=cloud.provider,
        verifier=cloud.verifier,
        journal=journal,
        timekeeper=around.timekeeper,
        rest_seconds=around.rest_seconds,
    )


def _calls(config: AccountConfig, cloud: Cloud, identity: Identity, book: Book, around: Surroundings) -> Calls:
    return Calls(
        config,
        issuer=cloud.issuer,
        identity=identity,
        book=book,
        timekeeper=around.timekeeper,
        events=around.events,
    )


def _ticket(
    account: Account, config: TicketConfig, around: Surroundings, touch: Callable[[TicketService], None]
) -> TicketService:
    make = PoolService if config.single_use else TicketService
    return make(
        config,
        identity=account.identity,
        calls=account.calls,
        book=account.book,
        planner=account.planner,
        timekeeper=around.timekeeper,
        events=around.events,
        publisher=around.publisher,
        worker=around.worker,
        spawn=around.spawn,
        touch=touch,
    )
