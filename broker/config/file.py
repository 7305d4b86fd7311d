"""broker.toml to Config: reads the file and the secrets it names, and reports every problem in one ConfigError.

Knows which key has which parser and which keys depend on each other; what a value may be is in `values`,
`addresses` and `secrets`. Defaults are the dataclasses' own. The one invariant: a Config or an error,
and in the error no value, only names.
"""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import MISSING, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from broker.config import (
    PARTNER_AUTHORITY,
    AccountConfig,
    ApiConfig,
    Config,
    HooksConfig,
    LogConfig,
    LoginConfig,
    MetricsConfig,
    OAuthConfig,
    PublishConfig,
    SocketConfig,
    StateConfig,
    TicketConfig,
    secret_references,
)
from broker.config.keys import (
    ACCESS,
    ACCOUNT,
    API,
    HOOKS,
    LOG,
    LOGIN,
    METRICS,
    OAUTH,
    PUBLISH,
    SOCKET,
    STATE,
    TICKET,
    authority_parser,
    certificates_file,
)
from broker.config.places import default_socket_path, default_state_directory, find_config_file
from broker.config.secrets import NoSecrets, SecretReader
from broker.config.table import Problems, Table, closest
from broker.core.words import counted
from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

    from broker.core.secret import Secret

T = TypeVar("T")

__all__ = ["find_config_file", "read_config"]

LARGEST_FILE_BYTES = 8 * 1024 * 1024  # ten thousand tickets take 2
SHARED_BY_TICKETS = ("account", "plant_id")  # the same words in thousands of tables: kept once
LONGEST_SOCKET_PATH_BYTES = 107  # unix(7): sun_path has 108 with the NUL at its end


def read_config(
    path: Path,
    environ: MutableMapping[str, str],
    *,
    previous: Config | None = None,
    user_id: int | None = None,
    without_secrets: bool = False,
) -> Config:
    """Read and check broker.toml and every secret it names. Raises: ConfigError with all problems.

    Variables named by `env:` are taken out of `environ` once all is well (a start that failed may be repaired by a
    reload, which needs them still); `previous` is the configuration in force, which remembers those of before.
    `without_secrets`: none is looked for, and something made up stands in place of each.
    """
    problems = Problems(path)
    reader = NoSecrets if without_secrets else SecretReader
    secrets = reader(path.absolute().parent, environ, remembered=_remembered(previous))
    top = Table("", _parse(path), problems)
    user = os.geteuid() if user_id is None else user_id
    config = _Reading(top, secrets, environ, user).config()
    if config is None or problems.lines:
        raise _error(problems.lines)
    for variable in secrets.variables_read:
        environ.pop(variable, None)
    return config


def _error(lines: list[str]) -> ConfigError:
    return ConfigError(
        "\n  ".join([f"the configuration cannot be used, {counted(len(lines), 'problem')}:", *lines]),
        problems=tuple(lines),
        hint="`eliot-broker config example --full` explains every key",
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "no such path").lower()
        raise _error(
            [f"{path}: cannot be read: {reason}; check the path and that the broker's user may read it"]
        ) from None
    if len(content) > LARGEST_FILE_BYTES:
        raise _error([f"{path}: is larger than {LARGEST_FILE_BYTES} bytes; is it the right file?"])
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error([f"{path}: line {line} is no UTF-8 text; save the file as UTF-8"]) from None
    except (ValueError, RecursionError) as error:
        raise _error([f"{path}: is no TOML: {_syntax_problem(error)}; correct it there"]) from None


def _syntax_problem(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)[:1].lower() + str(error)[1:]


def _remembered(previous: Config | None) -> dict[str, Secret]:
    references = [] if previous is None else secret_references(previous)
    return {found.name: found.value for found in references if found.source == "env"}


class _Reading:
    """One reading of one file, table by table."""

    def __init__(self, top: Table, secrets: SecretReader, environ: MutableMapping[str, str], user_id: int) -> None:
        self._top = top
        self._secrets = secrets
        self._environ = environ
        self._user_id = user_id
        self._accounts_named: set[str] = set()
        self._published: dict[Path, str] = {}

    def config(self) -> Config | None:
        """Read everything; None where a part could not be made, and then there is a problem that says why."""
        socket = self._socket()
        state = self._state()
        access = self._plain("access", ACCESS)
        accounts = self._accounts()
        tickets = self._tickets()
        login = LoginConfig(**self._plain("login", LOGIN))
        hooks = HooksConfig(**self._plain("hooks", HOOKS))
        metrics = MetricsConfig(**self._plain("metrics", METRICS))
        log = LogConfig(**self._plain("log", LOG))
        self._top.close()
        if state is None or self._top.problems.lines:
            return None
        parts = {"accounts": accounts, "tickets": tickets, "login": login, "hooks": hooks, **access}
        parts |= {"metrics": metrics, "log": log}
        return Config(file=self._top.problems.file, socket=socket, state=state, **parts)

    def _plain(self, key: str, parsers: dict[str, Any]) -> dict[str, Any]:
        table = self._top.table(key)
        values = table.read(parsers)
        table.close()
        return values

    def _socket(self) -> SocketConfig:
        table = self._top.table("socket")
        values = {"path": default_socket_path(self._environ), **table.read(SOCKET)}
        length = len(os.fsencode(values["path"]))
        if length > LONGEST_SOCKET_PATH_BYTES:
            remedy = f"a socket's path has at most {LONGEST_SOCKET_PATH_BYTES}: choose a shorter one"
            table.problem("path", f"has {length} bytes", remedy)
        table.close()
        return SocketConfig(**values)

    def _state(self) -> StateConfig | None:
        table = self._top.table("state")
        values = table.read({**STATE, "key": self._secrets.state_key})
        table.close()
        directory = default_state_directory(self._environ, user_id=self._user_id)
        if "directory" not in values and directory is None:
            table.require("directory", "write it, for neither $STATE_DIRECTORY nor $HOME tells a place")
            return None
        return StateConfig(**{"directory": directory, **values})

    def _accounts(self) -> dict[str, AccountConfig]:
        accounts: dict[str, AccountConfig] = {}
        for name, table in self._top.table("accounts").named_tables():
            self._accounts_named.add(name)
            account = self._account(name, table)
            if account is not None:
                accounts[name] = account
        return accounts

    def _account(self, name: str, table: Table) -> AccountConfig | None:
        parsers = {"client_secret": self._secrets.client_secret, "ca_file": certificates_file(self._secrets.directory)}
        values = table.read({**ACCOUNT, **parsers})
        provider = values.get("provider")
        values |= table.read({"authority": authority_parser(provider)})
        table.require("provider", 'write provider = "partner", "b2c" or "oidc"')
        table.require("client_id", "copy it from your application on the developer portal")
        if provider == "partner":
            table.require("client_secret", 'the partner gateway demands one: client_secret = "credential:NAME"')
            values.setdefault("authority", PARTNER_AUTHORITY)
        elif provider is not None:
            shape = "https://HOST/TENANT/POLICY" if provider == "b2c" else "the issuer's https URL"
            table.require("authority", f"only partner has a default: write {shape}")
        values["oauth"] = self._oauth(table.table("oauth"))
        values["api"] = self._api(table.table("api"))
        table.close()
        return _made(AccountConfig, {"name": name, **values})

    @staticmethod
    def _oauth(table: Table) -> OAuthConfig:
        values = table.read(OAUTH)
        table.close()
        return OAuthConfig(**values)

    def _api(self, table: Table) -> ApiConfig | None:
        values = table.read({**API, "subscription_key": self._secrets.header_value})
        remedy = 'it is in your profile on the developer portal: subscription_key = "credential:NAME"'
        table.require("subscription_key", remedy)
        table.close()
        quota = values.get("daily_quota", _default(ApiConfig, "daily_quota"))
        if quota and values.get("quota_reserve", 0) >= quota:
            table.problem("quota_reserve", "leaves nothing of daily_quota", f"write less than {quota}")
        elif quota and "quota_reserve" not in values:
            # the default is for the default; a smaller quota keeps a tenth back rather than be refused
            reserve = _default(ApiConfig, "quota_reserve")
            values["quota_reserve"] = reserve if reserve < quota else quota // 10
        return _made(ApiConfig, values)

    def _tickets(self) -> dict[str, TicketConfig]:
        tickets: dict[str, TicketConfig] = {}
        for name, table in self._top.table("tickets").named_tables():
            ticket = self._ticket(name, table)
            if ticket is not None:
                tickets[name] = ticket
        return tickets

    def _ticket(self, name: str, table: Table) -> TicketConfig | None:
        values = table.read(TICKET)
        account = values.get("account")
        table.require("account", "write the name of one of the [accounts.NAME] tables")
        if account is not None and account not in self._accounts_named:
            table.problem("account", "names no account of this file", closest(account, self._accounts_named))
        table.require("plant_id", "copy the id of the plant, a UUID")
        table.require("device_id", "copy the id of the device, a UUID")
        if "publish" in table.content:
            values["publish"] = self._publish(table.table("publish"))
            if values.get("single_use"):
                remedy = "remove publish or single_use: a file would hand out one ticket many times"
                table.problem("publish", "cannot go with single_use", remedy)
        table.known.add("publish")
        table.close()
        shared = {key: sys.intern(values[key]) for key in SHARED_BY_TICKETS if key in values}
        return _made(TicketConfig, {"name": sys.intern(name), **values, **shared})

    def _publish(self, table: Table) -> PublishConfig | None:
        values = table.read(PUBLISH)
        table.require("path", "write where the file shall be")
        table.close()
        path = values.get("path")
        if path in self._published:
            table.problem("path", f"is the file of [{self._published[path]}] too", "give each ticket its own file")
        elif path is not None:
            self._published[path] = table.name
        return _made(PublishConfig, values)


def _made(kind: type[T], values: dict[str, Any]) -> T | None:
    """The dataclass, or None where a field without a default is missing (which has been noted as a problem)."""
    present = {name for name, value in values.items() if value is not None}
    return kind(**values) if _needed(cast("Any", kind)) <= present else None


@cache
def _needed(kind: Any) -> frozenset[str]:
    return frozenset(each.name for each in fields(kind) if each.default is each.default_factory is MISSING)


def _default(kind: Any, name: str) -> Any:
    return next(each.default for each in fields(kind) if each.name == name)
