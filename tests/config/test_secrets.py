"""Where secrets may be, and what is told when one is not there: its name, never its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.config.file import read_config
from broker.config.secrets import LARGEST_SECRET_BYTES
from broker.errors import ConfigError

from .sample import ACCOUNT, API, CANARY, GOOD, TICKET

if TYPE_CHECKING:
    from .sample import Place

KEYED = '[state]\nkey = "credential:state-key"\n'


def with_key(reference: str) -> str:
    return GOOD.replace("file:subscription-key", reference)


def test_a_file_is_read_relative_to_the_configuration_and_loses_one_newline(place: Place) -> None:
    reference = place.read().accounts["home"].api.subscription_key
    assert (reference.source, reference.name) == ("file", "subscription-key")
    assert reference.value.reveal() == "0123456789abcdef"


def test_an_absolute_file_is_read_where_it_is(place: Place) -> None:
    path = place.write("elsewhere/key", "abc", 0o640)
    assert place.read(with_key(f"file:{path}")).accounts["home"].api.subscription_key.value.reveal() == "abc"


def test_a_credential_is_read_whatever_its_mode(place: Place) -> None:
    place.write("credentials/my-key", "abc\r\n", 0o444)
    assert place.read(with_key("credential:my-key")).accounts["home"].api.subscription_key.value.reveal() == "abc"


def test_only_one_newline_is_stripped(place: Place) -> None:
    place.write("client-secret", "two lines at its end\n\n")
    (line,) = place.problems(GOOD)
    assert line == (
        "[accounts.home] client_secret: file client-secret has control characters in it; "
        "store the secret alone, on one line"
    )


def test_a_variable_is_taken_out_of_the_environment_once_all_is_well(place: Place) -> None:
    place.environ.update({"KEY": "abc", "OTHER": "stays"})
    assert place.read(with_key("env:KEY")).accounts["home"].api.subscription_key.value.reveal() == "abc"
    assert "KEY" not in place.environ
    assert place.environ["OTHER"] == "stays"


def test_a_variable_named_twice_is_read_twice(place: Place) -> None:
    place.environ["KEY"] = "abc"
    account = place.read(GOOD.replace("file:subscription-key", "env:KEY").replace("file:client-secret", "env:KEY"))
    found = account.accounts["home"]
    assert found.client_secret is not None
    assert found.client_secret.value == found.api.subscription_key.value


def test_a_variable_stays_while_the_file_is_wrong_so_that_a_repaired_one_finds_it(place: Place) -> None:
    place.environ["KEY"] = "abc"
    assert place.problems(with_key("env:KEY") + "unknown = 1\n")
    assert place.environ["KEY"] == "abc"
    assert place.read(with_key("env:KEY")).accounts["home"].api.subscription_key.value.reveal() == "abc"


def test_a_reload_remembers_the_variables_of_the_configuration_in_force(place: Place) -> None:
    place.environ["KEY"] = "abc"
    first = place.read(with_key("env:KEY"))
    assert place.read(with_key("env:KEY"), previous=first) == first


def test_a_reload_prefers_the_variable_of_the_new_environment(place: Place) -> None:
    place.environ["KEY"] = "abc"
    first = place.read(with_key("env:KEY"))
    place.environ["KEY"] = "new"
    second = place.read(with_key("env:KEY"), previous=first)
    assert second.accounts["home"].api.subscription_key.value.reveal() == "new"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o666])
def test_a_file_that_is_open_to_everybody_is_refused(place: Place, mode: int) -> None:
    path = place.write("subscription-key", CANARY, mode)
    (line,) = place.problems(GOOD)
    assert line == (
        f"[accounts.home.api] subscription_key: file subscription-key is open to everybody (mode {mode:04o}); "
        f"chmod 0640 {path}"
    )


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (CANARY, "does not say where the secret is"),
        ("", "does not say where the secret is"),
        ("credential:", "does not say where the secret is"),
        ("vault:x", "does not say where the secret is"),
        ("credential:../state-key", "names a credential as systemd cannot"),
        ("credential:..", "names a credential as systemd cannot"),
        ("credential:nowhere", "credential nowhere cannot be read: no such file or directory"),
        ("file:nowhere", "file nowhere cannot be read: no such file or directory"),
        ("file:.", "file . cannot be read: it is no regular file"),
        ("file:" + "x" * 5000, "file " + "x" * 5000 + " cannot be read: file name too long"),
        ("env:NOWHERE", "environment variable NOWHERE is not set"),
        ("env:NO WHERE", "names no environment variable"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(place: Place, reference: str, told: str) -> None:
    (line,) = place.problems(with_key(reference))
    assert line.startswith(f"[accounts.home.api] subscription_key: {told}")
    assert "; " in line
    assert CANARY not in line


def test_a_secret_that_is_no_string_is_refused_without_its_value(place: Place) -> None:
    (line,) = place.problems(GOOD.replace('"file:subscription-key"', "8675309"))
    assert line.startswith("[accounts.home.api] subscription_key: must be a string, not a number")
    assert "8675309" not in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"two words", "has characters that no header may carry"),
        (b"abc\r\nX-Evil: 1", "has characters that no header may carry"),
        ("schlüssel".encode(), "has characters that no header may carry"),
        (b"\xff\xfe", "is no UTF-8 text"),
        (b"x" * (LARGEST_SECRET_BYTES + 1), f"cannot be read: it is larger than {LARGEST_SECRET_BYTES} bytes"),
    ],
)
def test_a_subscription_key_that_no_header_could_carry_is_refused(place: Place, content: bytes, told: str) -> None:
    place.write("subscription-key", content)
    (line,) = place.problems(GOOD)
    assert line.startswith(f"[accounts.home.api] subscription_key: file subscription-key {told}")


def test_a_client_secret_may_have_blanks_and_umlauts(place: Place) -> None:
    place.write("client-secret", "größer als 1")
    found = place.read().accounts["home"].client_secret
    assert found is not None
    assert found.value.reveal() == "größer als 1"


def test_without_systemd_a_missing_credential_says_so(place: Place) -> None:
    del place.environ["CREDENTIALS_DIRECTORY"]
    (line,) = place.problems(KEYED + GOOD)
    assert line == (
        "[state] key: credential state-key is missing, for $CREDENTIALS_DIRECTORY is not set; "
        "run it under systemd with LoadCredentialEncrypted=state-key, or use file:PATH"
    )


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (b"x" * 32, True),
        (b"x" * 31 + b"\n", False),
        (b"x" * 31, False),
        ("ü".encode() * 16, True),
        (b"\xff" * 31 + b"\n", True),  # 32 random bytes whose last is a newline
        (b"\xff" * 31, False),
        (b"", False),
    ],
)
def test_a_state_key_has_at_least_32_bytes_text_or_not(place: Place, content: bytes, good: bool) -> None:
    place.write("credentials/state-key", content)
    if good:
        assert place.read(KEYED + GOOD).state.key is not None
    else:
        (line,) = place.problems(KEYED + GOOD)
        assert "fewer than 32; make one with" in line


def test_no_secret_is_in_the_repr_of_a_configuration(place: Place) -> None:
    shown = repr(place.read(KEYED + ACCOUNT + API + TICKET))
    assert "a client secret" not in shown
    assert "0123456789abcdef" not in shown


def test_who_only_looks_reads_no_secret_and_needs_none(place: Place) -> None:
    """A rehearsal asks nothing real: an operator who may not read the secrets may have one."""
    path = place.write("broker.toml", KEYED + with_key("credential:nowhere"))
    config = read_config(path, {}, without_secrets=True)
    assert config.accounts["home"].api.subscription_key.name == "nowhere"
    with pytest.raises(ConfigError, match="does not say where the secret is"):
        read_config(place.write("broker.toml", with_key("plain text")), {}, without_secrets=True)
