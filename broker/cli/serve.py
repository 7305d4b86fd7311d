"""`serve` and `sandbox`: commands that run a daemon; what is heavy is loaded only here.

The one invariant: a configuration that cannot be used ends with 2, any other refusal to start with 1.
"""

from __future__ import annotations

from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.errors import BrokerError, ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal


def run(args: argparse.Namespace, _terminal: Terminal) -> int:
    """Run the daemon until it is told to stop."""
    from broker.daemon import serve

    try:
        return serve(Path(args.config) if args.config else None)
    except ConfigError as error:
        raise config_failure(error) from None
    except BrokerError as error:
        raise Failure(error.message, exit_codes.UNEXPECTED, hint=error.hint) from None


def sandbox(args: argparse.Namespace, _terminal: Terminal) -> int:
    """Run the sandbox."""
    from broker.sandbox.scenarios import SCENARIOS

    if args.scenario and args.scenario not in SCENARIOS:
        details = [f"{name:<16} {each.plays}" for name, each in SCENARIOS.items()]
        message = f"no scenario is called {args.scenario}"
        raise Failure(message, exit_codes.USAGE, details=details, hint="these are there: --scenario NAME")

    from broker.sandbox.run import run as run_sandbox

    return run_sandbox(args)


def config_failure(error: ConfigError) -> Failure:
    """Every problem of a configuration, one a line."""
    return Failure(error.message, exit_codes.USAGE, hint=error.hint)
