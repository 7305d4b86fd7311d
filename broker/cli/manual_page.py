"""The man page, generated from the parser: `eliot-broker help man > eliot-broker.1`.

Knows roff (man(7)) and the parser, no command. The one invariant: every command and option that the parser takes is
in it, in the parser's own words.
"""

from __future__ import annotations

import argparse

from broker import __version__
from broker.cli import exit_codes
from broker.cli.commands import COMMANDS
from broker.cli.parser import PROGRAM, command_parsers

SUMMARY = "OAuth token broker and call-in ticket vending daemon for door stations"
DESCRIPTION = (
    "A small daemon that logs in to the ELIOT cloud once, keeps that login alive, fetches call-in tickets before they "
    "are needed, and hands them to the programs on the same machine that may have them. The commands speak to it over "
    "its Unix socket. Results go to standard output, everything else to standard error."
)
ENVIRONMENT = {
    "ELIOT_BROKER_SOCKET": "The broker's socket, /path or unix:///path.",
    "ELIOT_BROKER_CONFIG": "The configuration, where --config names none.",
    "HTTPS_PROXY, NO_PROXY": "The way of the daemon to the cloud, as curl understands them.",
}
FILES = {
    "/etc/eliot-broker/broker.toml": "The configuration; eliot-broker config example --full explains every key.",
    "/run/eliot-broker/broker.sock": "The socket.",
    "/var/lib/eliot-broker": "The state: sealed logins and tickets.",
}


def render() -> str:
    """The whole page."""
    blocks = [
        f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {__version__}"',
        f".SH NAME\n{_text(PROGRAM)} \\- {_text(SUMMARY)}",
        f".SH SYNOPSIS\n.B {_text(PROGRAM)}\n[\\-\\-socket PATH] COMMAND [ARGUMENTS]",
        f".SH DESCRIPTION\n{_text(DESCRIPTION)}",
        ".SH COMMANDS",
        *(_command(name, parser) for name, parser in command_parsers().items()),
        ".SH EXIT STATUS",
        *(_entry(str(number), meaning) for number, meaning in exit_codes.MEANINGS.items()),
        ".SH ENVIRONMENT",
        *(_entry(name, meaning) for name, meaning in ENVIRONMENT.items()),
        ".SH FILES",
        *(_entry(name, meaning) for name, meaning in FILES.items()),
        ".SH SEE ALSO\n.BR curl (1),\n.BR systemd\\-creds (1)",
    ]
    return "\n".join(blocks)


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
    positional = " ".join(_words(action) for action in actions if not action.option_strings)
    lines = [f".SS {_text(f'{name} {positional}'.rstrip())}", _text(COMMANDS[name].summary)]
    lines += [_entry(_words(action), str(action.help or "")) for action in actions if action.option_strings]
    lines.append(f".PP\nExample:\n.PP\n.nf\n.RS\n{_text(COMMANDS[name].example)}\n.RE\n.fi")
    return "\n".join(lines)


def _words(action: argparse.Action) -> str:
    """An option with its value, or an argument, as it is typed."""
    value = action.metavar if isinstance(action.metavar, str) else (action.dest or "").upper()
    if action.choices and not isinstance(action.metavar, str):
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        return f"[{value}]" if action.nargs in {"?", "*"} else value
    options = ", ".join(action.option_strings)
    return options if action.nargs == 0 else f"{options} {value}"


def _entry(tag: str, text: str) -> str:
    return f".TP\n.B {_text(tag)}\n{_text(text)}"


def _text(text: str) -> str:
    """Plain text in roff: no escape, and no line that begins like a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
