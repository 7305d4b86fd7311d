"""`probe NAME`: which token and which header form the call-in operation accepts, and the lines to configure it.

Knows the socket's answer, no HTTP header. The one invariant: the calls it cost are told, whatever came of them.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.client import operations
from broker.core.words import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from broker.cli.terminal import Terminal

    Row = dict[str, Any]

WORDS = {
    "accepted": "accepted",
    "passed": "got past the token",
    "refused": "refused",
    "stopped": "tells nothing",
    "not_tried": "not tried",
}


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Probe the operation for one ticket."""
    if not args.json:
        terminal.note(f"trying up to four forms for {args.name}; each costs a call of the day's quota")
    found = client_for(args).call(operations.probe(args.name))
    if args.json:
        terminal.document(found)
    else:
        terminal.note("\n".join(_line(row) for row in found.get("attempts") or []))
        terminal.note(f"{counted(int(found.get('calls') or 0), 'call')} made")
        _conclude(found, terminal)
    return exit_codes.DONE if found.get("found") else exit_codes.UNAVAILABLE


def _line(row: Row) -> str:
    return f"  {_form(row):24}{WORDS.get(str(row.get('verdict')), '?')}: {row.get('detail') or ''}"


def _form(row: Row) -> str:
    return f"{row.get('token', '?')}, {row.get('scheme') or 'raw'}"


def _conclude(found: Row, terminal: Terminal) -> None:
    form, attempts = found.get("found"), found.get("attempts") or []
    if not form:
        if any(row.get("verdict") == "stopped" for row in attempts):
            terminal.note("nothing is known yet: the answer was about something else than the token; mend that first")
        else:
            terminal.note("every form was refused, so the token is not what is wrong")
            terminal.note("hint: check plant_id, device_id, and that the application has audiovideoterminal.read")
        return
    if not found.get("certain"):
        terminal.note("no ticket came, but this form was not what was refused; probe again when the gateway is online")
    same = form == found.get("configured")
    terminal.note("this is what is configured:" if same else f"put this into [accounts.{found['account']}.api]:")
    terminal.result(f'token = "{form["token"]}"\nscheme = "{form["scheme"]}"')
    if not same:
        terminal.note("then: eliot-broker reload")
