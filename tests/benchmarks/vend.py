"""The vend, measured beside what it stands on and beside its peers: interleaved rounds, medians, ratios.

A ratio is taken within each round, between neighbours in time; what is told is the median of the rounds' ratios, for
a machine that does other things slows both. The one invariant: a target that is missed is printed as missed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks.servers import CLIENT_CORE, Bench, Load, Server, everybody, on_core
from tests.e2e.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Shape(NamedTuple):
    """A way to ask; `requests` for the quick servers, the slow ones are asked a share of them."""

    name: str
    connections: int
    requests: int
    keep: bool = True
    rate: float = 0.0


KEPT_ONE = Shape("kept, 1 client", 1, 6_000)
KEPT_MANY = Shape("kept, 32 clients", 32, 30_000)
NEW_MANY = Shape("new each, 32 clients", 32, 6_000, keep=False)
OPEN = Shape("open loop, 32 kept, 2,000/s", 32, 1_000, rate=2_000.0)
SHAPES = (KEPT_ONE, KEPT_MANY, NEW_MANY, OPEN)
SLOW = {"aiohttp": 3, "oidc-agent": 6}  # a fraction of the requests is enough of them

Rounds = dict[tuple[str, str], list[Load]]


@dataclass(frozen=True)
class Target:
    """A ratio that must hold: `measure` of `ours` over that of `other` in the same round, at most or at least."""

    words: str
    ours: str
    other: str
    shape: Shape
    measure: Callable[[Load], float]
    bound: float
    at_least: bool = False
    other_measure: Callable[[Load], float] | None = None

    def ratio(self, rounds: Rounds) -> float | None:
        """The median of the rounds' ratios; None where one of the two was not measured."""
        mine, theirs = rounds.get((self.ours, self.shape.name)), rounds.get((self.other, self._other_shape))
        if not mine or not theirs:
            return None
        other = self.other_measure or self.measure
        return median(self.measure(a) / other(b) for a, b in zip(mine, theirs, strict=True))

    @property
    def _other_shape(self) -> str:
        return NEW_MANY.name if self.other == "oidc-agent" else self.shape.name

    def holds(self, ratio: float, margin: float = 1.0) -> bool:
        """Whether the bound is kept, loosened by a margin for noise."""
        return ratio * margin >= self.bound if self.at_least else ratio <= self.bound * margin


def p50(load: Load) -> float:
    return load.p50


def p99(load: Load) -> float:
    return load.p99


def cpu(load: Load) -> float:
    return load.cpu


def rate(load: Load) -> float:
    return load.rate


TARGETS = (
    Target("p50, kept, 1 client ≤ 2 x asyncio echo", "ours", "asyncio echo", KEPT_ONE, p50, 2.0),
    Target("CPU a request, 32 kept ≤ 2 x asyncio echo", "ours", "asyncio echo", KEPT_MANY, cpu, 2.0),
    Target("CPU a request, 32 kept ≤ 1/5 x aiohttp", "ours", "aiohttp", KEPT_MANY, cpu, 0.2),
    Target("rate, 32 kept ≥ 0.8 x bare protocol", "ours", "asyncio protocol", KEPT_MANY, rate, 0.8, at_least=True),
    Target("rate, new each ≥ 0.75 x bare protocol", "ours", "asyncio protocol", NEW_MANY, rate, 0.75, at_least=True),
    Target(
        "rate, new each, uvloop ≥ 0.5 x bare protocol on it",
        "ours, uvloop",
        "uvloop protocol",
        NEW_MANY,
        rate,
        0.5,
        at_least=True,
    ),
    Target("rate, new each ≥ 4 x oidc-agent", "ours", "oidc-agent", NEW_MANY, rate, 4.0, at_least=True),
    Target("rate, new each, uvloop ≥ 8 x oidc-agent", "ours, uvloop", "oidc-agent", NEW_MANY, rate, 8.0, at_least=True),
    Target("p99, new each ≤ oidc-agent's p50", "ours", "oidc-agent", NEW_MANY, p99, 1.0, other_measure=p50),
    Target("rate, 32 kept ≥ 12 x oidc-agent's", "ours", "oidc-agent", KEPT_MANY, rate, 12.0, at_least=True),
)


def run(bench: Bench, servers: dict[str, Server], *, rounds: int, share: float = 1.0) -> Rounds:
    """Ask everybody in every shape, `rounds` times in turn; before that once, so that all are warm."""
    seen: Rounds = {}
    for number in range(rounds + 1):
        for shape in SHAPES:
            for server in servers.values():
                if (not server.keeps and shape is not NEW_MANY) or (shape.rate and server.framing == "eof"):
                    continue
                requests = int(shape.requests * share / SLOW.get(server.name, 1))
                load = bench.ask(
                    server, connections=shape.connections, requests=requests, keep=shape.keep, rate=shape.rate
                )
                if number:
                    seen.setdefault((server.name, shape.name), []).append(load)
    return seen


def table(rounds: Rounds) -> list[str]:
    """The medians as a Markdown table."""
    lines = [
        "| | kept, 1: p50 | kept, 32: /s | CPU | new each, 32: /s | p50 | p99 | CPU | 2,000/s offered: p50 | p99 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(name for name, _ in rounds):
        one, many, new, steady = (rounds.get((name, shape.name)) for shape in SHAPES)
        cells = [
            _cell(one, p50),
            _cell(many, rate, "{:,.0f}"),
            _cell(many, cpu, "{:.1f}"),
            _cell(new, rate, "{:,.0f}"),
            _cell(new, p50, "{:,.0f}"),
            _cell(new, p99, "{:,.0f}"),
            _cell(new, cpu, "{:.1f}"),
            _cell(steady, p50),
            _cell(steady, p99, "{:,.0f}"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(loads: list[Load] | None, measure: Callable[[Load], float], form: str = "{:.0f}") -> str:
    return "" if not loads else form.format(median(measure(load) for load in loads))


def verdicts(rounds: Rounds) -> list[str]:
    """Each target with its ratio."""
    lines = ["| what must hold | seen | |", "| --- | ---: | --- |"]
    for target in TARGETS:
        ratio = target.ratio(rounds)
        if ratio is not None:
            lines.append(f"| {target.words} | {ratio:.2f} | {'holds' if target.holds(ratio) else 'MISSED'} |")
    return lines


COMMANDS = 15


def commands(folder: Path, servers: dict[str, Server]) -> list[str]:
    """A secret fetched by a process of its own: milliseconds, medians."""
    published = folder / "published.jwt"
    published.write_text("x" * 1000)
    ours = servers["ours"].socket
    asked: dict[str, tuple[list[str | Path], dict[str, str], bytes]] = {
        "`true`": (["true"], {}, b""),
        "`cat` of a published file": (["cat", published], {}, b""),
        "`git credential-cache get`": (
            ["git", "credential-cache", f"--socket={folder}/git/socket", "get"],
            {},
            b"protocol=https\nhost=door.example\n\n",
        ),
        "`oidc-token`": (
            ["oidc-token", "bench"],
            servers["oidc-agent"].environ if "oidc-agent" in servers else {},
            b"",
        ),
        "`curl --unix-socket`": (
            ["curl", "-s", "--unix-socket", ours, "http://localhost/v1/tickets/front-door"],
            {},
            b"",
        ),
        "`python3 -I -S`, empty": ([sys.executable, "-I", "-S", "-c", ""], {}, b""),
        "`eliot-broker ticket`": (
            [sys.executable, "-m", "broker", "ticket", "front-door", "--socket", ours],
            {},
            b"",
        ),
    }
    asked = {name: how for name, how in asked.items() if shutil.which(str(how[0][0]))}
    if "oidc-agent" not in servers:
        asked.pop("`oidc-token`", None)
    seen: dict[str, list[float]] = {}
    for number in range(COMMANDS + 1):
        for name, (command, environ, told) in asked.items():
            began = time.perf_counter()
            subprocess.run(
                [*on_core(CLIENT_CORE), *command],
                input=told,
                env={**os.environ, **environ},
                stdout=subprocess.DEVNULL,
                check=True,
                cwd=ROOT,
            )
            if number:
                seen.setdefault(name, []).append(1e3 * (time.perf_counter() - began))
    lines = ["| one process each | ms |", "| --- | ---: |"]
    return lines + [f"| {name} | {median(times):.1f} |" for name, times in seen.items()]


def tell(folder: Path, rounds: int = 5) -> list[str]:
    """The table of the rounds, and each target with its ratio."""
    bench = Bench(folder)
    with everybody(bench) as servers:
        seen = run(bench, servers, rounds=rounds)
    return [*table(seen), "", *verdicts(seen)]


def tell_commands(folder: Path) -> list[str]:
    """The commands beside the others."""
    with everybody(Bench(folder)) as servers:
        return commands(folder, servers)
