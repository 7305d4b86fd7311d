"""The service catalogue's answers: plants and their modules, in any of the shapes that were seen.

Pure. Whether the catalogue is open to an application is unknown, so nothing depends on it: an answer that is none
is an empty list. The one invariant: only what looks like an id and a short name leaves.
"""

from __future__ import annotations

from typing import Any

from broker.core.answer import plain_text

SERVICE = "service catalogue"
PATH = "/servicecatalog/api/v3.0/plants"
LONGEST_ID = 64
MOST_ENTRIES = 100


def read_entries(document: object, name: str) -> list[dict[str, str]]:
    """`id`, `name` and `device` of each entry of a bare array, `{NAME: [...]}` or `{"value": [...]}`."""
    found: Any = document
    if isinstance(document, dict):
        found = document.get(name, document.get("value"))
    entries = found if isinstance(found, list) else []
    return [_entry(each) for each in entries[:MOST_ENTRIES] if isinstance(each, dict) and _is_id(each.get("id"))]


def _entry(entry: dict[str, Any]) -> dict[str, str]:
    told = {"id": str(entry["id"])}
    for field in ("name", "device", "hw_type"):
        if isinstance(entry.get(field), str) and entry[field]:
            told[field] = plain_text(entry[field])
    return told


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.replace("-", "").isalnum()
