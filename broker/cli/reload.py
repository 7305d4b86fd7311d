"""`reload`: make the daemon read its configuration again, and say what changed.

The one invariant: a configuration that is refused ends with 2 and every problem of it; the old one stays in force.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Reload the configuration."""
    changed = client_for(args).reload()
    if args.json:
        terminal.document(changed)
        return exit_codes.DONE
    terminal.result("\n".join(map(str, changed.get("changes") or [])) or "nothing changed")
    return exit_codes.DONE
