"""`units`: print, install or remove the systemd files of this installation.

Knows the terminal and `broker.units`. The one invariant: a file with another text is replaced only after a yes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.units.placing import PlacingError, place, remove, run
from broker.units.rendering import UNITS, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from broker.cli.terminal import Terminal
    from broker.units.installation import Installation

USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
STARTED = ("eliot-broker.socket", "eliot-broker.service")


def run_units(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print, install or remove."""
    installation = _installation(args)
    rendered = render(installation)
    try:
        if args.install:
            return _install(args, terminal, installation, rendered)
        if args.uninstall:
            return _uninstall(args, terminal, rendered)
    except PlacingError as error:
        hint = None if args.of_user or os.geteuid() == 0 else "run it as root, or with --user"
        raise Failure(str(error), exit_codes.UNEXPECTED, hint=hint) from None
    if args.json:
        terminal.document({str(_root(args, terminal) / name): text for name, text in rendered.items()})
    else:
        terminal.result(
            "\n".join(f"# ---- {_root(args, terminal) / name}\n{text}" for name, text in rendered.items()).rstrip()
        )
    return exit_codes.DONE


def _installation(args: argparse.Namespace) -> Installation:
    from broker.units.installation import find_installation

    if not USER_NAME.fullmatch(args.account):
        raise Failure(f"{args.account!r} is no name for a system account", exit_codes.USAGE)
    config = Path(args.config) if args.config else None
    try:
        return find_installation(user=args.account, config=config, of_user=args.of_user)
    except (OSError, ValueError) as error:
        raise Failure(f"{config} cannot be read: {error}", exit_codes.USAGE, hint="eliot-broker config check") from None


def _root(args: argparse.Namespace, terminal: Terminal) -> Path:
    if args.root:
        return Path(args.root)
    if not args.of_user:
        return Path("/")
    home = terminal.environment.get("HOME", "/")
    return Path(terminal.environment.get("XDG_CONFIG_HOME") or Path(home, ".config"))


def _install(args: argparse.Namespace, terminal: Terminal, installation: Installation, rendered: dict[str, str]) -> int:
    if not installation.program.exists():
        raise Failure(
            f"there is no {installation.program} for the units to run",
            exit_codes.USAGE,
            hint="run the command of the installation that the service shall use",
        )
    done = place(rendered, _root(args, terminal), _asking(args, terminal))
    _tell(args, terminal, done)
    if not args.root:
        if not args.of_user:
            run(["systemd-sysusers", "/etc/sysusers.d/eliot-broker.conf"])
            run(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/eliot-broker.conf"])
        run(_systemctl(args, "daemon-reload"))
    if not args.json:
        terminal.note(f"start it, now and at every boot: {' '.join(_systemctl(args, 'enable', '--now', *STARTED))}")
    return exit_codes.DONE


def _uninstall(args: argparse.Namespace, terminal: Terminal, rendered: dict[str, str]) -> int:
    root = _root(args, terminal)
    there = [
        unit for unit in (*STARTED, *UNITS[2:]) if any(Path(root, n).exists() for n in rendered if n.endswith(unit))
    ]
    if there and not args.root:
        run(_systemctl(args, "disable", "--now", *there))
    _tell(args, terminal, remove(rendered, root))
    if not args.root:
        run(_systemctl(args, "daemon-reload"))
    if not args.json and not args.of_user:
        terminal.note(
            f"left as they are: the account {args.account}, /var/lib/eliot-broker (the logins), /etc/eliot-broker, "
            "/etc/credstore.encrypted/eliot-broker.*"
        )
    return exit_codes.DONE


def _systemctl(args: argparse.Namespace, *words: str) -> list[str]:
    return ["systemctl", *(["--user"] if args.of_user else []), *words]


def _asking(args: argparse.Namespace, terminal: Terminal) -> Callable[[Path], bool]:
    def ask(path: Path) -> bool:
        if args.yes:
            return True
        if not terminal.stdin.isatty():
            raise Failure(
                f"{path} is there with another text, and nobody is here to ask; it was left as it is",
                exit_codes.USAGE,
                hint="see what would change with `eliot-broker units`, then use --yes",
            )
        terminal.note(f"{path} is there with another text. Replace it? [y/N]")
        return terminal.stdin.readline().strip().lower() in {"y", "yes"}

    return ask


def _tell(args: argparse.Namespace, terminal: Terminal, done: dict[str, str]) -> None:
    if args.json:
        terminal.document(done)
    else:
        terminal.result("\n".join(f"{what:<10}{path}" for path, what in done.items()))
