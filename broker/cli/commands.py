"""Every command: its summary, its arguments, its example, and where its code is.

Knows argparse's words for arguments and no command's code: that is loaded when it runs. The one invariant: every
command has an example.
"""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG_ACTIONS = ("check", "show", "example")
STATE_ACTIONS = ("rekey", "export", "import")
SHELLS = ("bash", "zsh", "fish")


class Command:
    """One command: `run` is MODULE:FUNCTION in broker.cli, `example` what stands at the end of its help."""

    __slots__ = ("arguments", "example", "run", "summary")

    def __init__(
        self, summary: str, run: str, example: str, arguments: Callable[[argparse.ArgumentParser], None] | None = None
    ) -> None:
        self.summary = summary
        self.run = run
        self.example = example
        self.arguments = arguments


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _account(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="ACCOUNT", help="the account, as broker.toml names it")
    _json(parser)


def _login(parser: argparse.ArgumentParser) -> None:
    _account(parser)
    parser.add_argument("--paste", action="store_true", help="take the redirect URL from a line of stdin only")
    parser.add_argument("--browser", action="store_true", help="open the URL in this machine's browser")


def _vend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--min-validity", type=_seconds, metavar="N", help="valid for at least N seconds more")
    parser.add_argument("--wait", type=_seconds, metavar="N", help="wait up to N seconds for one (at most 300)")
    parser.add_argument("--format", metavar="TEXT", help="print TEXT with its {fields} filled in")
    _json(parser)


def _ticket(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the ticket, as broker.toml names it")
    _vend(parser)


def _id_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="ACCOUNT", help="the account, as broker.toml names it")
    _vend(parser)


def _ticket_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the ticket, as broker.toml names it")
    _json(parser)


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="show it again every two seconds")
    _json(parser)


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=_seconds, metavar="N", help="give up after N seconds; default: never")
    _json(parser)


def _config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="the configuration; default: the usual places")


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=CONFIG_ACTIONS, help="find mistakes; show what is in force; print a sample")
    parser.add_argument("--full", action="store_true", help="example: every key, its default and its meaning")
    _config_file(parser)
    _json(parser)


def _units(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--install", action="store_true", help="put them in place; asks before it replaces another text")
    what.add_argument("--uninstall", action="store_true", help="stop the service and remove them; logins are kept")
    parser.add_argument(
        "--user", dest="of_user", action="store_true", help="for a service of this user, not the system"
    )
    parser.add_argument("--account", metavar="NAME", default="eliot-broker", help="who runs it (eliot-broker)")
    parser.add_argument("--root", metavar="DIR", help="put them below DIR and start nothing (for packages)")
    parser.add_argument("--yes", action="store_true", help="replace without asking")
    _config_file(parser)
    _json(parser)


def _credentials(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; default: all of broker.toml not sealed yet")
    parser.add_argument("--list", action="store_true", help="only show what is sealed, and by which key")
    parser.add_argument("--check", action="store_true", help="only try whether systemd can open what is sealed")
    parser.add_argument(
        "--with-key", metavar="KEY", default="auto", help="host, tpm2 or host+tpm2 (auto: what is there)"
    )
    parser.add_argument("--directory", metavar="DIR", default="/etc/credstore.encrypted", help=argparse.SUPPRESS)
    parser.add_argument("--state", metavar="DIR", default="/var/lib/eliot-broker", help=argparse.SUPPRESS)
    _config_file(parser)
    _json(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--offline", action="store_true", help="leave out what needs the network")
    parser.add_argument("--call", metavar="NAME", help="prove the subscription key by one counted call for this ticket")
    _config_file(parser)
    _json(parser)


def _setup(parser: argparse.ArgumentParser) -> None:
    _config_file(parser)


def _bugreport(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help="where to write it; - is stdout; default: a new file here")
    _config_file(parser)


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=STATE_ACTIONS, help="seal all anew; move a login out; move a login in")
    parser.add_argument("names", nargs="*", metavar="NAME", help="export: ACCOUNT FILE; import: FILE")
    parser.add_argument("--old-key", metavar="REFERENCE", help="rekey: the present key, as credential:, file: or env:")
    parser.add_argument("--replace", action="store_true", help="import: in place of the login that is there")
    _config_file(parser)
    _json(parser)


def _sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print one ticket and exit")
    parser.add_argument("--scenario", metavar="NAME", help="the weather to play; an unknown one lists them")
    parser.add_argument("--provider", choices=("partner", "b2c"), help="the way to sign in (partner)")


def _drill(parser: argparse.ArgumentParser) -> None:
    import re

    parser._negative_number_matcher = re.compile(r"-\d")  # noqa: SLF001 -- argparse's only way: `clock -1d`
    parser.add_argument("scenario", metavar="SCENARIO", help="its name, or a FILE.json; an unknown one lists them")
    parser.add_argument("duration", nargs="?", metavar="DURATION", help="how long, like 2h or 30d; clock: by how much")
    parser.add_argument("--account", metavar="NAME", help="whose tickets; default: the first account's")
    parser.add_argument("--seed", type=_seconds, default=1, metavar="N", help="of what chance decides (1)")
    parser.add_argument("--svg", metavar="FILE", help="write the timeline as a picture")
    parser.add_argument("--log", action="store_true", help="print every decision, too")
    _config_file(parser)
    _json(parser)


def _help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="a command, exit-codes, or man (the man page)")


def _completion(parser: argparse.ArgumentParser) -> None:
    known = "bash, zsh or fish; or the names it completes: tickets, accounts"
    parser.add_argument("shell", choices=(*SHELLS, "tickets", "accounts"), metavar="SHELL", help=known)


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of whole seconds")
    return int(text)


COMMANDS = {
    "serve": Command(
        "run the daemon", "serve:run", "eliot-broker serve --config /etc/eliot-broker/broker.toml", _config_file
    ),
    "login": Command("log in to an account; prints the URL to open", "login:run", "eliot-broker login home", _login),
    "logout": Command("drop an account's login and tickets", "account:logout", "eliot-broker logout home", _account),
    "refresh": Command("refresh an account's login now", "account:refresh", "eliot-broker refresh home", _account),
    "ticket": Command(
        "print a valid ticket", "ticket:ticket", "TICKET=$(eliot-broker ticket front-door --wait 10)", _ticket
    ),
    "id-token": Command("print an account's id token", "ticket:id_token", "eliot-broker id-token home", _id_token),
    "watch": Command(
        "print every change of a ticket", "watch:run", "eliot-broker watch front-door --json | jq .type", _ticket_name
    ),
    "status": Command("show accounts, tickets and what is wrong", "status:run", "eliot-broker status --json", _status),
    "wait": Command("wait until tickets can be had", "wait:run", "eliot-broker wait --timeout 60", _wait),
    "why": Command("explain the state of a ticket", "why:run", "eliot-broker why front-door", _ticket_name),
    "doctor": Command(
        "check configuration, permissions, network, cloud and daemon", "doctor:run", "eliot-broker doctor", _doctor
    ),
    "probe": Command(
        "find the token and header form that the operation accepts (at most 4 calls)",
        "probe:run",
        "eliot-broker probe front-door",
        _ticket_name,
    ),
    "setup": Command(
        "ask for what is needed and write broker.toml and the secrets", "setup:run", "eliot-broker setup", _setup
    ),
    "bugreport": Command(
        "write one redacted file for a bug report",
        "bugreport:run",
        "eliot-broker bugreport --output report.txt",
        _bugreport,
    ),
    "reload": Command("make the daemon read its configuration again", "reload:run", "eliot-broker reload", _json),
    "config": Command("check, show or sample the configuration", "config:run", "eliot-broker config check", _config),
    "state": Command(
        "seal the state under another key, or move a login to another machine (the daemon must be stopped)",
        "state:run",
        "eliot-broker state export home home.bundle",
        _state,
    ),
    "units": Command(
        "print, install or remove the systemd files", "units:run_units", "eliot-broker units --install", _units
    ),
    "credentials": Command(
        "seal secrets for the service with systemd-creds",
        "credentials:run",
        "eliot-broker credentials home-client-secret < secret.txt",
        _credentials,
    ),
    "sandbox": Command(
        "run a broker with a stand-in cloud, no account needed",
        "serve:sandbox",
        "eliot-broker sandbox --once",
        _sandbox,
    ),
    "drill": Command(
        "rehearse a bad day on your configuration: what callers would see",
        "drill:run",
        "eliot-broker drill outage 2h --svg outage.svg",
        _drill,
    ),
    "completion": Command(
        "print shell completion", "completion:run", "source <(eliot-broker completion bash)", _completion
    ),
    "help": Command("show help about a command or a topic", "help:run", "eliot-broker help exit-codes", _help),
    "version": Command("print the version", "help:version", "eliot-broker version", _json),
}
