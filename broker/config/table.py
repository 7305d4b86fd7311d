"""One table of broker.toml while it is read: hands out checked values and collects what is wrong, all of it.

Knows no key of ours. The one invariant: whatever is refused, unknown or missing is a line in `Problems`, with file,
table, key, problem and remedy, and reading goes on.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.config.values import NAME, NAME_REMEDY, Parser, Refused, toml_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHOWN_CHARACTERS = 64
_LONGEST_KEY = 28  # of ours: "send_redirect_uri_to_token"
_BEGINNING = 8  # characters by which a line is found again


@dataclass(slots=True)
class Problems:
    """Every problem of one file, in reading order: `FILE: [TABLE] KEY: problem; remedy`."""

    file: Path
    lines: list[str] = field(default_factory=list)

    def add(self, table: str, key: str, problem: str, remedy: str) -> None:
        """Note one problem; `table` "" is the top of the file, `key` "" the table itself."""
        place = " ".join(part for part in (f"[{table}]" if table else "", key) if part)
        line = f"{self.file}: {place}: {problem}; {remedy}" if place else f"{self.file}: {problem}; {remedy}"
        self.lines.append(line)


@dataclass(slots=True)
class Table:
    """A table and its place in the file; `known` grows with every key that was asked for."""

    name: str
    content: Mapping[str, object]
    problems: Problems
    known: set[str] = field(default_factory=set)

    def read(self, parsers: Mapping[str, Parser]) -> dict[str, Any]:
        """Every key of `parsers` that is there and good, under its field's name (`timeout` is `timeout_seconds`)."""
        values: dict[str, Any] = {}
        for field_name, parse in parsers.items():
            key = key_of(field_name)
            self.known.add(key)
            if key not in self.content:
                continue
            try:
                values[field_name] = parse(self.content[key])
            except Refused as error:
                for problem, remedy in error.pairs:
                    self.problem(key, problem, remedy)
        return values

    def require(self, key: str, remedy: str) -> None:
        """Note a problem where the key is not there."""
        if key not in self.content:
            self.problem(key, "is missing", remedy)

    def table(self, key: str) -> Table:
        """The table under `key`; an empty one where it is not there or is no table."""
        self.known.add(key)
        name = f"{self.name}.{_shown(key)}" if self.name else _shown(key)
        value = self.content.get(key, {})
        if not isinstance(value, dict):
            self.problems.add(name, "", f"must be a table, not {toml_type(value)}", f"write it as [{name}]")
            value = {}
        return Table(name, value, self.problems)

    def named_tables(self) -> Iterator[tuple[str, Table]]:
        """Every table in this one, by the name its writer chose; a name that cannot be used is a problem."""
        for key in self.content:
            inner = self.table(key)
            if not NAME.fullmatch(key):
                self.problems.add(inner.name, "", "has a name that cannot be used", NAME_REMEDY)
            yield key, inner

    def problem(self, key: str, problem: str, remedy: str) -> None:
        """Note what is wrong with a key of this table."""
        self.problems.add(self.name, _shown(key) if key else "", problem, remedy)

    def close(self) -> None:
        """Every key that nobody asked for is a problem."""
        for key in self.content:
            if key not in self.known:
                shown = key if len(key) <= _LONGEST_KEY else key[:_BEGINNING] + "…"  # it may be a secret, misplaced
                self.problem(shown, "is unknown", _did_you_mean(key, self.known))


def key_of(field_name: str) -> str:
    """The key in the file of a field in the dataclass: without its unit."""
    return field_name.removesuffix("_seconds")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.lower(), sorted(known), n=1)
    return f'did you mean "{close[0]}"?' if close else f"known here: {', '.join(sorted(known))}"


def closest(word: str, known: Iterable[str]) -> str:
    """A remedy for a name that points nowhere."""
    names = sorted(known)
    return _did_you_mean(word, names) if names else "there is none yet: write one"


def _shown(key: str) -> str:
    if _BARE_KEY.fullmatch(key):
        return key
    shortened = key if len(key) <= _SHOWN_CHARACTERS else key[:_SHOWN_CHARACTERS] + "…"
    return json.dumps(shortened)
