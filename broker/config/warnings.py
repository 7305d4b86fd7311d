"""What is allowed in broker.toml and yet seldom meant: told by `config check`, `doctor` and the log, never refused.

Pure. The one invariant: a warning names table and key, and never a value that could be a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broker.config.addresses import is_loopback

if TYPE_CHECKING:
    from broker.config import AccountConfig, Config, TicketConfig

_EVERYBODY = 0o007


def config_warnings(config: Config) -> list[str]:
    """One line for everything that works but may surprise: `[TABLE] KEY: what happens`."""
    lines = []
    if not config.accounts:
        lines.append("[accounts]: there is none, so there is nothing to do")
    if config.socket.mode & _EVERYBODY:
        lines.append("[socket] mode: every process of this machine may connect; only `allow` holds tickets back")
    for account in config.accounts.values():
        lines += _account(account, config.login.listen)
    for ticket in config.tickets.values():
        lines += _ticket(ticket)
    return lines


def _account(account: AccountConfig, listen: str) -> list[str]:
    lines = []
    if not _meets(account.redirect_uri, listen):
        lines.append(
            f"[accounts.{account.name}] redirect_uri: goes to another port of this machine than [login] listen awaits; "
            "the redirect has to be pasted"
        )
    if account.provider != "partner":  # the gateway takes no scopes: they are ticked on the portal
        lines += [
            f"[accounts.{account.name}] scopes: {scope} is not among them; {consequence}"
            for scope, consequence in (
                ("openid", "there may be no id token"),
                ("offline_access", "the login ends with its first token"),
            )
            if scope not in account.scopes
        ]
    return lines


def _ticket(ticket: TicketConfig) -> list[str]:
    place = f"[tickets.{ticket.name}]"
    lines = []
    if ticket.pool > 1 and not ticket.single_use:
        lines.append(f"{place} pool: has no effect without single_use")
    if ticket.publish is not None and ticket.publish.mode & _EVERYBODY:
        lines.append(f"{place} publish: every process of this machine may read the file, whatever `allow` says")
    return lines


def _meets(redirect_uri: str, listen: str) -> bool:
    """Whether the listener can receive the redirect, as far as both are about this machine."""
    parts = urlsplit(redirect_uri)
    if not listen or parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        return True
    return (parts.port or 80) == int(listen.rpartition(":")[2])
