"""`bugreport`: one redacted file to send along.

Knows the terminal and where the file goes. The one invariant: an existing file is never written over, and nobody but
its owner reads the new one.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from time import gmtime, strftime

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.cli.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Write a bug report."""
    from broker.adapters.clock import SystemClock
    from broker.doctor.examination import Patient
    from broker.doctor.report import make_report

    config = Path(args.config) if args.config else None
    patient = Patient(config, dict(terminal.environment), client_for(args), SystemClock())
    terminal.note("looking at configuration, network and daemon; no call of the quota is spent")
    text = make_report(patient, salt=secrets.token_hex(8))
    if args.output == "-":
        terminal.result(text.rstrip())
        return exit_codes.DONE
    name = args.output or strftime("eliot-broker-report-%Y%m%d-%H%M%S.txt", gmtime(terminal.now()))
    _write(Path(name), text)
    terminal.note("secrets, ids and names are taken out; read it before you send it all the same")
    terminal.result(name)
    return exit_codes.DONE


def _write(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise Failure(f"{path} is there already; it was left as it is", exit_codes.USAGE, hint="--output") from None
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise Failure(f"{path} cannot be written: {why}", exit_codes.USAGE, hint="--output names another") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
