"""Whatever stands in the file: a Config or a ConfigError, and never an echo of a value."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config.file import read_config
from broker.config.manual import config_example
from broker.errors import ConfigError

from .sample import CANARY, GOOD

WHOLE = config_example(full=True)
KEYS = sorted({line.partition(" = ")[0].lstrip("#") for line in WHOLE.splitlines() if " = " in line and line[1] != " "})
TABLES = ["socket", "state", "access", "accounts.home", "accounts.home.oauth", "accounts.home.api", "tickets.door",
          "tickets.door.publish", "login", "hooks", "log"]  # fmt: skip

scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        [CANARY, f"https://user:{CANARY}@host/", f"https://host/{CANARY}#", f"user:{CANARY} x", f"{CANARY}:1"]
    ),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3))


def outcome(content: bytes) -> str:
    """What is told of this content; "" where it is a configuration."""
    with TemporaryDirectory() as directory:
        file = Path(directory, "broker.toml")
        file.write_bytes(content)
        for name in ("client-secret", "subscription-key"):
            Path(directory, name).write_text("secret", encoding="utf-8")
            Path(directory, name).chmod(0o600)
        try:
            read_config(file, {"HOME": directory}, user_id=1000)
        except ConfigError as error:
            return "\n".join([*error.problems, str(error), str(error.hint)])
    return ""


def toml(tables: dict[str, dict[str, Any]]) -> bytes:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
    return "\n".join(lines).replace("\x7f", "\\u007f").encode()


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(TABLES), st.dictionaries(st.sampled_from(KEYS), values, max_size=6)))
def test_any_value_under_any_key_is_accepted_or_refused_and_never_repeated(tables: dict[str, dict[str, Any]]) -> None:
    assert CANARY not in outcome(toml(tables))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_configuration_error(content: bytes) -> None:
    outcome(content)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 20), st.text(max_size=5).filter(str.isprintable))
def test_any_slip_of_the_pen_is_a_configuration_or_a_configuration_error(start: int, length: int, slip: str) -> None:
    outcome((GOOD[:start] + slip + GOOD[start + length :]).encode("utf-8", "replace"))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("value", [CANARY, [CANARY], {CANARY: CANARY}, f"https://me:{CANARY}@host/", f"{CANARY}:0"])
def test_a_secret_that_was_pasted_under_any_key_is_not_repeated(table: str, value: object) -> None:
    # as an inline table a canary in the place of a key is a name, and names may be told
    written = json.dumps(value) if not isinstance(value, dict) else f'{{ x = "{CANARY}" }}'
    content = f"[{table}]\n" + "\n".join(f"{key} = {written}" for key in KEYS)
    told = outcome(content.encode())
    assert told
    assert CANARY not in told
