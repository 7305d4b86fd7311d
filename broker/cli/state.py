"""`state rekey|export|import`: work on the sealed state while no daemon runs.

Knows the store's functions and what a person gives them: keys by reference, a passphrase by prompt. The one
invariant: everything happens under the state lock and as the user that owns the state.
"""

from __future__ import annotations

import os
from pathlib import Path

from broker.cli import exit_codes
from broker.cli.config import read
from broker.cli.failures import Failure, UsageError
from broker.cli.serve import config_failure
from broker.core.secret import Secret
from broker.core.words import counted
from broker.errors import BrokerError, ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.adapters.state_key import StateKey
    from broker.adapters.store import SealedStore
    from broker.cli.terminal import Terminal
    from broker.config import Config
    from broker.ports import Disk

ACCOUNT_PREFIX = "account-"


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Seal the state anew, or move one login out of it or into it."""
    action = {"rekey": _rekey, "export": _export, "import": _import}[args.action]
    try:
        config = read(args.config, terminal)
        _refuse_other_users(config.state.directory)
        from broker.adapters.lock import StateLock

        with StateLock(config.state.directory):
            action(args, terminal, config)
    except ConfigError as error:
        raise config_failure(error) from None
    except BrokerError as error:
        raise Failure(error.message, exit_codes.of_code(error.code), hint=error.hint) from None
    return exit_codes.DONE


def _refuse_other_users(directory: Path) -> None:
    """Root could write here, but then the broker's own user could read nothing of it."""
    owner = directory.stat().st_uid if directory.exists() else os.geteuid()
    if owner != os.geteuid():
        raise Failure(
            f"state directory {directory} belongs to user {owner}, this is user {os.geteuid()}",
            exit_codes.NOT_ALLOWED,
            hint=f"run it as that user: sudo -u '#{owner}' eliot-broker state …",
        )


def _rekey(args: argparse.Namespace, terminal: Terminal, config: Config) -> None:
    from broker.adapters.disk import RealDisk
    from broker.adapters.state_key import stage_key_file
    from broker.adapters.store_rekey import rekey

    disk, directory = RealDisk(), config.state.directory
    old = _old_key(args.old_key, terminal, config, disk)
    new = _configured_key(config) or stage_key_file(directory, disk)
    names = rekey(directory, disk, old, new)
    if args.json:
        terminal.document({"documents": names, "key_id": new.key_id, "key_source": new.source})
    terminal.note(f"sealed {counted(len(names), 'document')} anew, key {new.key_id} from {new.source}")


def _old_key(reference: str | None, terminal: Terminal, config: Config, disk: Disk) -> StateKey:
    """The key that the state is sealed under now: the one named, else `state.key`."""
    from broker.adapters.state_key import KEY_FILE, StateKey, open_key_file
    from broker.config.secrets import SecretReader
    from broker.config.values import Refused

    directory = config.state.directory
    if reference is None:
        if config.state.key is not None and not (directory / KEY_FILE).exists():
            raise UsageError(f"there is no {KEY_FILE} in {directory}", "name the present key with --old-key")
        return open_key_file(directory, disk)
    try:
        found = SecretReader(Path.cwd(), terminal.environment).state_key(reference)
    except Refused as refused:
        problem, remedy = refused.pairs[0]
        raise UsageError(f"--old-key: {problem}", remedy) from None
    return StateKey.from_secret(found.value, reference)


def _configured_key(config: Config) -> StateKey | None:
    from broker.adapters.state_key import StateKey

    key = config.state.key
    return None if key is None else StateKey.from_secret(key.value, f"{key.source}:{key.name}")


def _export(args: argparse.Namespace, terminal: Terminal, config: Config) -> None:
    from broker.adapters.disk import RealDisk
    from broker.adapters.store_bundle import export_login

    account, target = _two(args.names, "export needs an ACCOUNT and a FILE")
    store = _store(config, terminal)
    export_login(store, RealDisk(), f"{ACCOUNT_PREFIX}{account}", Path(target), _passphrase(terminal, again=True))
    terminal.note(f"moved the login of {account} to {target}; it is no longer here")


def _import(args: argparse.Namespace, terminal: Terminal, config: Config) -> None:
    from broker.adapters.disk import RealDisk
    from broker.adapters.store_bundle import import_login

    if len(args.names) != 1:
        raise UsageError("import needs a FILE", "eliot-broker state --help")
    source, store = Path(args.names[0]).resolve(), _store(config, terminal)  # a link's file is what has to go
    name = import_login(store, RealDisk(), source, _passphrase(terminal, again=False), replace=args.replace)
    account = name.removeprefix(ACCOUNT_PREFIX)
    terminal.note(f"moved the login of {account} from {source} into the state")
    if account not in config.accounts:
        terminal.note(f"warning: no account {account} is configured")


def _two(names: list[str], complaint: str) -> tuple[str, str]:
    if len(names) != 2:  # noqa: PLR2004 (two)
        raise UsageError(complaint, "eliot-broker state --help")
    return names[0], names[1]


def _store(config: Config, terminal: Terminal) -> SealedStore:
    from broker.adapters.disk import RealDisk
    from broker.assembly import open_store

    return open_store(config, RealDisk(), _Warnings(terminal))[0]


class _Warnings:
    """Events of the store, for whoever sits at the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def emit(self, event: str, **facts: object) -> None:
        """Tell an event as a warning."""
        self._terminal.note(f"warning: {event}: " + ", ".join(f"{name} {fact}" for name, fact in facts.items()))


def _passphrase(terminal: Terminal, *, again: bool) -> Secret:
    """Asked for without echo on a terminal, twice where it is new; otherwise one line of stdin."""
    if not terminal.stdin.isatty():
        found = terminal.stdin.readline().removesuffix("\n")
    else:
        from getpass import getpass

        found = getpass("passphrase: ", terminal.stderr)
        if again and found != getpass("the same again: ", terminal.stderr):
            raise UsageError("the two passphrases differ", "begin again")
    if not found:
        raise UsageError("no passphrase was given", "type one, or give it as one line of stdin")
    return Secret(found)
