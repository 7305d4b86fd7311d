"""The household of a drill as the broker's own configuration.

Knows the configuration's types, nothing of how a drill is played. The one invariant: what the household says is what
is configured, and nothing else differs from the defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.config import (
    AccountConfig,
    ApiConfig,
    Config,
    OAuthConfig,
    SecretReference,
    SocketConfig,
    StateConfig,
    TicketConfig,
)
from broker.core.secret import Secret
from broker.drill.cloud import PLANT_ID

if TYPE_CHECKING:
    from broker.drill.script import Household

ACCOUNT = "home"


def configuration(household: Household) -> Config:
    """The household's broker.toml."""
    api = ApiConfig(
        SecretReference("env", "KEY", Secret("key-0")),
        daily_quota=household.daily_quota,
        quota_reserve=household.quota_reserve,
    )
    window = household.sliding_window_seconds if household.window_configured else None
    account = AccountConfig(
        name=ACCOUNT,
        provider="partner",
        authority="https://cloud.test",
        client_id="app",
        api=api,
        oauth=OAuthConfig(sliding_window_seconds=window),
    )
    tickets = {
        door.name: TicketConfig(
            name=door.name,
            account=ACCOUNT,
            plant_id=PLANT_ID,
            device_id=door.name,
            warm=door.warm,  # type: ignore[arg-type]
            single_use=door.single_use,
            pool=door.pool,
            min_validity_seconds=door.min_validity_seconds,
            assumed_lifetime_seconds=household.ticket_seconds,
        )
        for door in household.doors
    }
    return Config(
        file=Path("/drill/broker.toml"),
        socket=SocketConfig(Path("/drill/broker.sock")),
        state=StateConfig(Path("/state")),
        accounts={ACCOUNT: account},
        tickets=tickets,
    )
