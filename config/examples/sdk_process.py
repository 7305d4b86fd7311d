#!/usr/bin/env python3
"""A process that holds a call-in ticket at hand for the Door Entry SDK: watches, and never polls.

Put your SDK's call where `use` is. It needs the standard library and the folder broker/client only; it outlives
restarts of the broker. Run it as: sdk_process.py front-door
"""

from __future__ import annotations

import sys
import threading

from broker.client import Client, Problem, Unreachable

LONGEST_PAUSE_SECONDS = 30.0


def use(ticket: str, generation: int, expires_in: int) -> None:
    """Hand the ticket to the SDK; what it was given before is replaced."""
    print(f"ticket generation {generation}, {len(ticket)} characters, valid for {expires_in} s", flush=True)  # noqa: T201 - an example


def lose(why: str) -> None:
    """There is no valid ticket: the SDK cannot call until `use` is called again."""
    print(f"no ticket: {why}", file=sys.stderr, flush=True)  # noqa: T201 - an example


def follow(client: Client, name: str) -> None:
    """Follow one connection until it ends. Raises: Problem, Unreachable."""
    for line in client.watch(name):
        if line.type == "ticket" and line.ticket is not None:
            use(line.ticket.value, line.ticket.generation, line.ticket.expires_in)
        elif line.type == "unavailable":
            lose(line.detail or "nobody asked for one yet")


def main(name: str, stop: threading.Event) -> int:
    """Follow for ever; pause a little longer each time that nobody answers."""
    client, pause = Client(), 0.5
    while not stop.is_set():
        try:
            follow(client, name)
            pause = 0.5
        except Problem as problem:
            lose(f"{problem.detail} (remedy: {problem.remedy})")
            if problem.code in {"not_allowed", "unknown_ticket"}:
                return 2  # no waiting mends that
        except Unreachable as error:
            lose(str(error))
        stop.wait(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "front-door", threading.Event()))
