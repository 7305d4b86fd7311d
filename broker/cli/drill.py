"""`drill`: rehearse a bad day on the household that the configuration describes, and show what callers would see.

Nothing real is touched: no socket is opened to the cloud, no file is written but the picture that was asked for.
The one invariant: it exits 0 only where every promise was kept.
"""

from __future__ import annotations

from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.client.problems import ClientError
from broker.core.words import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

    from broker.cli.terminal import Terminal
    from broker.drill.script import Household, Script


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Play one scenario; 0 where every promise was kept."""
    from broker.drill.oracle import judge
    from broker.drill.rehearsal import UnknownScenario, names
    from broker.drill.world import play

    try:
        script = _script(args, terminal)
    except UnknownScenario as error:
        scenarios = tuple(f"{name:<16} {says}" for name, says in names())
        raise Failure(str(error), exit_codes.USAGE, hint="or a FILE.json of happenings", details=scenarios) from None
    if terminal.stderr.isatty():
        terminal.note(f"living through {duration(script.seconds)}; short-lived tickets take up to a minute")
    seen = play(script, keep_log=True)
    verdict = judge(seen)
    _show(args, terminal, seen, verdict)
    return exit_codes.UNEXPECTED if verdict.violations else exit_codes.DONE


def _script(args: argparse.Namespace, terminal: Terminal) -> Script:
    from broker.drill import rehearsal

    if args.scenario.endswith(".json"):
        return rehearsal.from_file(Path(args.scenario))
    return rehearsal.rehearsal(args.scenario, args.duration, _household(args, terminal), seed=args.seed)


def _household(args: argparse.Namespace, terminal: Terminal) -> Household:
    """As configured, as far as it can be read, with what a running broker has observed."""
    from broker.cli.serve import config_failure
    from broker.config.file import read_config
    from broker.config.places import find_config_file
    from broker.drill.rehearsal import household_of
    from broker.drill.script import Household
    from broker.errors import ConfigError

    try:
        path = Path(args.config) if args.config else find_config_file(None, terminal.environment)
    except ConfigError:
        terminal.note("no configuration is found: an ordinary household with tickets of an hour is rehearsed")
        return Household()
    try:
        config = read_config(path, dict(terminal.environment))
    except ConfigError as error:
        raise config_failure(error) from None
    return household_of(config, args.account, _status(args, terminal))


def _status(args: argparse.Namespace, terminal: Terminal) -> Mapping[str, Any] | None:
    """The state of the broker that runs now; None where none is reached."""
    from broker.client.synchronous import Client

    try:
        return Client(args.socket, timeout_seconds=5.0).status()
    except (ClientError, OSError):
        terminal.note("no running broker is reached: tokens and tickets of ordinary lives are rehearsed")
        return None


def _show(args: argparse.Namespace, terminal: Terminal, seen: Any, verdict: Any) -> None:
    from broker.drill import chart

    if args.svg:
        Path(args.svg).write_text(chart.svg(seen, f"{args.scenario} {args.duration or ''}".strip()), "utf-8")
    figures = chart.table(seen, verdict)
    if args.json:
        told = [line.strip() for line in seen.watch.decisions or ()]
        terminal.document({"figures": dict(figures), "log": told, "script": seen.script.to_json()})
        return
    for name, value in figures:
        terminal.result(f"{name:<40} {value}")
    terminal.result("")
    for line in chart.timeline(seen):
        terminal.result(line)
    if args.log:
        for line in seen.watch.decisions or ():
            terminal.result(line)
    for violation in verdict.violations:
        terminal.note(f"broken at {violation.at_seconds:.0f} s: {violation.rule}: {violation.detail}")
