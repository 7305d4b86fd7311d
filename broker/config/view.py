"""The configuration in force, to look at: JSON-ready, and as TOML text. Secrets are shown by where they came from.

Knows no key by name: it follows the dataclasses. The one invariant: of a secret only its source and fingerprint leave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.config import SecretReference
from broker.config.table import key_of

if TYPE_CHECKING:
    from broker.config import Config

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def show_config(config: Config) -> dict[str, Any]:
    """Everything that is in force, defaults included, with the keys of broker.toml; what is not set is left out.

    Durations are seconds, modes octal strings, secrets `SOURCE:NAME (FINGERPRINT)`.
    """
    view: dict[str, Any] = _table(config)
    view["access"] = {"admins": view.pop("admins")}
    return view


def render_config(view: Mapping[str, Any]) -> str:
    """What `show_config` gave, as TOML text for people."""
    blocks = [*_blocks(view, ())]
    return "\n\n".join(blocks) + "\n"


def _table(value: Any) -> dict[str, Any]:
    shown = {}
    for each in fields(value):
        content = getattr(value, each.name)
        if content is not None and each.name != "name":  # accounts and tickets are under their name already
            shown[key_of(each.name)] = f"{content:04o}" if each.name == "mode" else _shown(content)
    return shown


def _shown(value: Any) -> Any:
    match value:
        case SecretReference():
            return f"{value.source}:{value.name} ({value.value.fingerprint})"
        case Path():
            return str(value)
        case Mapping():
            return {key: _shown(entry) for key, entry in value.items()}
        case tuple():
            return list(value)
        case str() | bool() | int() | float():
            return int(value) if isinstance(value, float) and value.is_integer() else value
        case _:
            return _table(value)


def _blocks(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(key)} = {_literal(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    if path and (lines or not table):
        lines.insert(0, f"[{'.'.join(_key(part) for part in path)}]")
    blocks = ["\n".join(lines)] if lines else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            blocks += _blocks(value, (*path, key))
    return blocks


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _literal(key)


def _literal(value: Any) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML's, but for DEL, which TOML wants escaped
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
