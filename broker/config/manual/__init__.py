"""The two texts that ship with the broker: broker.toml to start from, broker.full.toml with every key explained.

They are package data, so that `config example` works from a wheel; config/ in the repository links to them.
The one invariant: a test compares every key and default in them with the dataclasses, so the manual cannot lie.
"""

from __future__ import annotations

from importlib.resources import files


def config_example(*, full: bool = False) -> str:
    """The smallest broker.toml that works, or the manual with every key, its default and its meaning."""
    name = "broker.full.toml" if full else "broker.toml"
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
