"""`credentials`: seal client secret, subscription key and state key for the service, with systemd-creds.

Secrets come from the terminal without echo, or one of them from stdin; never from argv. The one invariant: a state
key that is in use stays the key.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.core.secret import Secret
from broker.core.words import counted
from broker.units.installation import STATE_KEY, SYSTEM_CONFIG, credential_names, read_document
from broker.units.placing import PlacingError
from broker.units.sealing import existing_state_key, new_state_key, protected_by, seal, sealed_path, trouble_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal

NONE_SEALED = "nothing is sealed yet: eliot-broker credentials"
NAME = re.compile(r"[A-Za-z0-9._@:+-]{1,200}")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Seal the named credentials, or every one that broker.toml names and that is not sealed yet."""
    document = _document(args)
    directory = Path(args.directory)
    if args.list:
        return _list(args, terminal, credential_names(document), directory)
    if args.check:
        return _check(args, terminal, credential_names(document), directory)
    names = args.names or [name for name in credential_names(document) if not sealed_path(directory, name).exists()]
    told = {}
    for name in names:
        if not NAME.fullmatch(name):
            hint = "letters, digits and ._@:+- are; see which there are: eliot-broker credentials --list"
            raise Failure(f"{name!r} is no name of a credential", exit_codes.USAGE, hint=hint)
        secret = _state_key(args, directory) if name == STATE_KEY else _ask(name, terminal, only=len(names) == 1)
        try:
            told[name] = seal(name, secret, directory, with_key=args.with_key)
        except PlacingError as error:
            raise Failure(str(error), exit_codes.UNEXPECTED, hint="run it as root") from None
        if not args.json:
            terminal.result(f"{name}: sealed in {sealed_path(directory, name)}, protected by {told[name]}")
    _finish(args, terminal, told, document)
    return exit_codes.DONE


def _document(args: argparse.Namespace) -> dict[str, object]:
    config = Path(args.config) if args.config else SYSTEM_CONFIG
    try:
        return read_document(config, must_be=bool(args.config))
    except (OSError, ValueError) as error:
        raise Failure(f"{config} cannot be read: {error}", exit_codes.USAGE, hint="eliot-broker config check") from None


def _finish(args: argparse.Namespace, terminal: Terminal, told: dict[str, str], document: dict[str, object]) -> None:
    if args.json:
        terminal.document({"sealed": told})
        return
    if not told:
        terminal.note("every credential is sealed already; name one to seal it anew")
        return
    state = document.get("state")
    if STATE_KEY in told and not (isinstance(state, dict) and state.get("key") == f"credential:{STATE_KEY}"):
        terminal.note('for the state key to be used, broker.toml needs: [state] key = "credential:state-key"')
    terminal.note("they are read at the service's next start: systemctl restart eliot-broker")


def _list(args: argparse.Namespace, terminal: Terminal, names: tuple[str, ...], directory: Path) -> int:
    told = {name: _protection(sealed_path(directory, name)) for name in names}
    if args.json:
        terminal.document({"sealed": told})
    else:
        terminal.result("\n".join(f"{name}: {key or 'not sealed'}" for name, key in told.items()))
    return exit_codes.DONE


def _check(args: argparse.Namespace, terminal: Terminal, names: tuple[str, ...], directory: Path) -> int:
    """Whether systemd can open what is sealed, here and now; one that is missing is the broker's to tell."""
    troubles = {}
    sealed = [name for name in names if sealed_path(directory, name).exists()]
    for name in sealed:
        try:
            trouble = trouble_with(name, directory)
        except PlacingError as error:
            raise Failure(str(error), exit_codes.UNEXPECTED) from None
        if trouble is not None:
            troubles[name] = trouble
    if args.json:
        terminal.document({"cannot_be_opened": troubles})
    if not troubles:
        terminal.note(f"{counted(len(sealed), 'sealed credential')}, and each can be opened" if sealed else NONE_SEALED)
        return exit_codes.DONE
    raise Failure(
        f"{len(troubles)} of {counted(len(sealed), 'sealed credential')} cannot be opened, so the service cannot start",
        exit_codes.USAGE,
        details=[f"credential {name} in {sealed_path(directory, name)}: {why}" for name, why in troubles.items()],
        hint="was it changed, or sealed on another machine? seal it anew: eliot-broker credentials NAME",
    )


def _protection(path: Path) -> str | None:
    try:
        return protected_by(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(
            f"{path} cannot be read: {error.strerror}", exit_codes.UNEXPECTED, hint="run it as root"
        ) from None


def _state_key(args: argparse.Namespace, directory: Path) -> Secret:
    """The key file's content where the broker has made one, else a new key; never in place of a sealed one."""
    if sealed_path(directory, STATE_KEY).exists():
        raise Failure(
            f"{STATE_KEY} is sealed already, and another key could not open what this one sealed",
            exit_codes.USAGE,
            hint="to change it: eliot-broker state rekey",
        )
    try:
        return existing_state_key(Path(args.state)) or new_state_key()
    except PlacingError as error:
        raise Failure(str(error), exit_codes.UNEXPECTED, hint="run it as root") from None


def _ask(name: str, terminal: Terminal, *, only: bool) -> Secret:
    if terminal.stdin.isatty():
        from getpass import getpass

        value = getpass(f"{name}: ", terminal.stderr) if terminal.stdin is sys.stdin else terminal.stdin.readline()
    elif only:
        value = terminal.stdin.read()
    else:
        raise Failure(
            f"nobody is here to ask for {name}",
            exit_codes.USAGE,
            hint=f"give one at a time: eliot-broker credentials {name} < FILE",
        )
    value = value.removesuffix("\n")
    if not value:
        raise Failure(f"{name}: an empty secret; it was not sealed", exit_codes.USAGE)
    return Secret(value)
