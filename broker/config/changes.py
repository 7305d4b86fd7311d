"""What a reload changes: told for people, and what of it may be in force before the next start.

Pure. Knows that the socket, the state and systemd's credentials belong to the process's start. The one invariant:
secrets are compared by value and told by name.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from broker.config import SecretReference, secret_references
from broker.config.table import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.config import AccountConfig, ApiConfig, Config
    from broker.core.secret import Secret

NEXT_START = "takes effect at the next start"


def describe_changes(old: Config, new: Config) -> list[str]:
    """What differs, one line a subject; empty where nothing does. Lines that need a restart end with NEXT_START."""
    lines = [*_section("socket", old.socket, new.socket, suffix=f"; {NEXT_START}")]
    lines += _section("state", old.state, new.state, suffix=f"; {NEXT_START}")
    lines += ["access changed: admins"] if old.admins != new.admins else []
    lines += _named(
        "account", old.accounts, new.accounts, gone="removed; its sealed login stays in the state directory"
    )
    lines += _named("ticket", old.tickets, new.tickets, gone="removed")
    for section in ("login", "hooks", "metrics", "log"):
        lines += _section(section, getattr(old, section), getattr(new, section))
    return lines


def in_force_after_reload(old: Config, new: Config) -> Config:
    """`new`, with what only a start may change as it is in `old`: socket, state, values of known credentials."""
    known = {found.name: found.value for found in secret_references(old) if found.source == "credential"}
    accounts = {name: _with_known(account, known) for name, account in new.accounts.items()}
    return replace(new, socket=old.socket, state=old.state, accounts=accounts)


def _with_known(account: AccountConfig, known: Mapping[str, Secret]) -> AccountConfig:
    api: ApiConfig = replace(account.api, subscription_key=_known(account.api.subscription_key, known))
    secret = account.client_secret
    return replace(account, api=api, client_secret=None if secret is None else _known(secret, known))


def _known(reference: SecretReference, known: Mapping[str, Secret]) -> SecretReference:
    if reference.source != "credential":
        return reference
    return replace(reference, value=known.get(reference.name, reference.value))


def _named(subject: str, old: Mapping[str, Any], new: Mapping[str, Any], *, gone: str) -> list[str]:
    lines = [f"{subject} {name} {gone}" for name in old if name not in new]
    for name, value in new.items():
        lines += _section(f"{subject} {name}", old[name], value) if name in old else [f"{subject} {name} added"]
    return lines


def _section(subject: str, old: Any, new: Any, *, suffix: str = "") -> list[str]:
    before, after = _leaves(old, ""), _leaves(new, "")
    now: list[str] = []
    later: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        was, will_be = before.get(key), after.get(key)
        if was != will_be:
            (later if _is_renewed_credential(was, will_be) else now).append(_told(key, will_be))
    lines = [f"{subject} changed: {', '.join(now)}{suffix}"] if now else []
    return lines + ([f"{subject} has a new value: {', '.join(later)}; {NEXT_START}"] if later else [])


def _leaves(value: Any, prefix: str) -> dict[str, Any]:
    if not is_dataclass(value) or isinstance(value, SecretReference):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for each in fields(value):
        key = key_of(each.name)
        leaves |= _leaves(getattr(value, each.name), f"{prefix}.{key}" if prefix else key)
    return leaves


def _is_renewed_credential(was: Any, will_be: Any) -> bool:
    if not isinstance(was, SecretReference) or not isinstance(will_be, SecretReference):
        return False
    return was.source == will_be.source == "credential" and was.name == will_be.name


def _told(key: str, value: Any) -> str:
    return f"{key} ({value.source}:{value.name})" if isinstance(value, SecretReference) else key
