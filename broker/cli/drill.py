"""`drill`: rehearse a bad day on the household that the configuration describes, and show what callers would see.

Nothing real is touched: no socket is opened to the cloud, no file is written but the picture that was asked for.
The one invariant: it exits 0 only where every promise was kept.
"""

from __future__ import annotations

from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.cli.whole_file import replace
from broker.client.problems import ClientError
from broker.core.words import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

    from broker.cli.terminal import Terminal
    from broker.config import Config
    from broker.drill.present import Present
    from broker.drill.script import Script


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Play one scenario; 0 where every promise was kept."""
    from broker.drill.oracle import judge
    from broker.drill.rehearsal import names
    from broker.drill.scenario_file import BadScenario, UnknownScenario
    from broker.drill.world import play

    try:
        script = _script(args, terminal)
    except UnknownScenario as error:
        scenarios = tuple(f"{name:<16} {says}" for name, says in names())
        raise Failure(str(error), exit_codes.USAGE, hint="or a FILE.json of happenings", details=scenarios) from None
    except BadScenario as error:
        raise Failure(str(error), exit_codes.USAGE) from None
    if terminal.stderr.isatty():
        terminal.note(f"living through {duration(script.seconds)}; short-lived tickets take up to a minute")
    seen = play(script, keep_log=True)
    verdict = judge(seen)
    _show(args, terminal, seen, verdict)
    return exit_codes.UNEXPECTED if verdict.violations else exit_codes.DONE


def _script(args: argparse.Namespace, terminal: Terminal) -> Script:
    from broker.drill import rehearsal
    from broker.drill.scenario_file import BadScenario
    from broker.drill.script import Household

    config = _configuration(args, terminal)
    household, present = Household(), None
    if config is not None:
        account = rehearsal.account_of(config, args.account)
        present = _present(args, terminal, config, account)
        household = rehearsal.household_of(config, account, present)
    if args.scenario.endswith(".json"):
        if args.duration is not None:
            raise BadScenario(f"{args.scenario} says itself how long it lasts: leave out {args.duration}")
        return rehearsal.from_file(Path(args.scenario), household, present=present, seed=args.seed)
    return rehearsal.rehearsal(args.scenario, args.duration, household, present=present, seed=args.seed)


def _configuration(args: argparse.Namespace, terminal: Terminal) -> Config | None:
    """As it is written; its secrets are not read, for nothing real is asked with them. None where there is none."""
    from broker.cli.serve import config_failure
    from broker.config.file import read_config
    from broker.config.places import find_config_file
    from broker.errors import ConfigError

    try:
        path = Path(args.config) if args.config else find_config_file(None, terminal.environment)
    except ConfigError:
        terminal.note("no configuration is found: an ordinary household with tickets of an hour is rehearsed")
        return None
    try:
        return read_config(path, dict(terminal.environment), without_secrets=True)
    except ConfigError as error:
        raise config_failure(error) from None


def _present(args: argparse.Namespace, terminal: Terminal, config: Config, account: str) -> Present | None:
    """What the running broker has in hand; None, and why, where that cannot be known."""
    from broker.drill.present import present_of

    status = _status(args, terminal, config)
    if status is None:
        return None
    try:
        present = present_of(status, account)
    except (KeyError, TypeError, ValueError, AttributeError):
        terminal.note("the running broker is of another version, and its state is not understood: it is left out")
        return None
    if present is None:
        terminal.note(f"account {account} is not logged in: the drill begins with a login, a day before")
    return present


def _status(args: argparse.Namespace, terminal: Terminal, config: Config) -> Mapping[str, Any] | None:
    """The state of the broker that runs now; None where none is reached."""
    from broker.client.synchronous import Client

    named = args.socket or terminal.environment.get("ELIOT_BROKER_SOCKET")
    try:
        return Client(named or str(config.socket.path), timeout_seconds=5.0).status()
    except (ClientError, OSError) as error:
        kept = config.state.directory
        left = f"; what a stopped one left in {kept} is sealed, and is not read" if kept.is_dir() else ""
        terminal.note(f"no running broker tells its state ({error}){left}")
        terminal.note("the drill begins with a login a day before, and tokens and tickets of ordinary lives")
        return None


def _write(path: Path, picture: str) -> None:
    if (path.exists() and not path.is_file()) or path.is_symlink():  # /dev/stdout; or a trap
        problem = f"--svg {path}: it is there and is no ordinary file; nothing was written"
        raise Failure(problem, exit_codes.USAGE, hint="name a file that is not there yet, or an ordinary one")
    try:
        replace(path, picture, 0o644)
    except OSError as error:
        raise Failure(f"--svg {path}: cannot be written: {error.strerror}", exit_codes.USAGE) from None


def _show(args: argparse.Namespace, terminal: Terminal, seen: Any, verdict: Any) -> None:
    import json

    from broker.drill import chart

    if args.svg:
        _write(Path(args.svg), chart.svg(seen, f"{args.scenario} {args.duration or ''}".strip()))
    figures = chart.table(seen, verdict)
    if args.json:
        told = [line.strip() for line in seen.watch.decisions or ()]
        terminal.document({"figures": dict(figures), "log": told, "script": json.loads(seen.script.to_json())})
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
