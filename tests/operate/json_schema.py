"""As much of JSON Schema 2020-12 as our own schema uses; a word it does not know is an error, not ignored."""

from __future__ import annotations

from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
KNOWN = {"$schema", "$id", "title", "description", "type", "properties", "required", "items", "enum", "anyOf"}


def violations(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """Where and how a value does not fit; a property that the schema does not name is one, too."""
    unknown = set(schema) - KNOWN
    assert not unknown, f"{where}: the schema uses {unknown}"
    if "anyOf" in schema:
        tries = [violations(value, each, where) for each in schema["anyOf"]]
        return [] if [] in tries else min(tries, key=len)
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    if "type" in schema and not _is_of(value, schema["type"]):
        return [f"{where}: {value!r} is no {schema['type']}"]
    return [*_in_object(value, schema, where), *_in_array(value, schema, where)]


def _is_of(value: Any, names: str | list[str]) -> bool:
    names = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names)


def _in_object(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    properties = schema.get("properties")
    if not isinstance(value, dict) or properties is None:
        return []
    found = [f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        if name in properties:
            found += violations(each, properties[name], f"{where}.{name}")
    return found


def _in_array(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    if not isinstance(value, list) or "items" not in schema:
        return []
    return [
        line for number, each in enumerate(value) for line in violations(each, schema["items"], f"{where}[{number}]")
    ]
