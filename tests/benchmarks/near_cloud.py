"""The daemon with a cloud inside its process: `python -m tests.benchmarks.near_cloud CONFIG LIFE_SECONDS`.

Calls take their time and no processor, so what the process uses is the daemon's own. SIGUSR1 has it print figures.
The one invariant: store, socket, sweep, log and collector are the daemon's; only provider, verifier and issuer are not.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.assembly import Parts
from broker.core.callin import IssuedTicket
from broker.core.secret import Secret
from broker.daemon import serve
from broker.drill.virtual import pass_seconds
from broker.services.fleet import Cloud
from tests.services.fakes import FakeProvider, FakeVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.config import AccountConfig
    from broker.ports import Clock

WORTH_TELLING_SECONDS = 0.0001
LATENCY_SECONDS = (0.05, 0.35)
JWT = "e" * 420
"""A ticket as long as the sandbox's, but for a number."""


class Figures:
    """What is told: calls so far, and the longest time for which the loop was held since it was last told.

    `computing`: what of the longest turn was the main thread's own work; the rest it waited for its turn on a core,
    for the interpreter's lock or for the disk.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.held: list[tuple[float, float]] = [(0.0, 0.0)]
        signal.signal(signal.SIGUSR1, lambda *_: self.tell())

    def tell(self) -> None:
        """One line into a pipe: a file would have to wait for the disk that the saves keep busy."""
        held, self.held = self.held, [(0.0, 0.0)]  # first: whoever reads the line may ask again at once
        longest, computing = (max(seconds) for seconds in zip(*held, strict=True))
        line = json.dumps({"calls": self.calls, "longest_seconds": longest, "computing_seconds": computing})
        os.write(1, line.encode() + b"\n")


class TimedSelector(selectors.DefaultSelector):
    """Times what the loop does between two looks at its sockets: for so long nobody else is served."""

    def __init__(self, figures: Figures) -> None:
        super().__init__()
        self._figures = figures
        self._since: tuple[float, float] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._since is not None:
            held = (time.perf_counter() - self._since[0], time.thread_time() - self._since[1])
            if held[0] > WORTH_TELLING_SECONDS:
                self._figures.held.append(held)
        ready = super().select(timeout)
        self._since = (time.perf_counter(), time.thread_time())
        return ready


class TimedPolicy(asyncio.DefaultEventLoopPolicy):
    """Every loop is timed."""

    def __init__(self, figures: Figures) -> None:
        super().__init__()
        self._figures = figures

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(TimedSelector(self._figures))


class TrueTime:
    """The world's time for FakeProvider."""

    @property
    def true_seconds(self) -> float:
        return time.time()  # noqa: TID251  # the cloud's clock


class NearIssuer:
    """ports.TicketIssuer after a while that differs from call to call."""

    def __init__(self, figures: Figures, life_seconds: int) -> None:
        self._figures = figures
        self._life_seconds = life_seconds
        self._dice = random.Random(1)

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:  # noqa: ARG002 - the port
        self._figures.calls += 1
        number = self._figures.calls
        await pass_seconds(self._dice.uniform(*LATENCY_SECONDS))
        now = float(int(time.time()))  # noqa: TID251  # as a Date header tells it
        sender = {"addressType": "addressLocation", "system": "videodoorentry", "plant": {"id": plant_id}}
        return IssuedTicket(Secret(f"{JWT}{number:08}"), sender, int(now), int(now) + self._life_seconds, now)

    async def close(self) -> None:
        """Nothing is open."""


class KnownProvider(FakeProvider):
    """Takes every code and every refresh token: a restart of the process is none of the cloud."""

    def refresh(self, refresh_token: Secret) -> Any:
        self.live.add(refresh_token.reveal())
        return super().refresh(refresh_token)

    def redeem(self, pending: Any, response: Mapping[str, str]) -> Any:
        return super().redeem(pending, {**response, "code": "good"})


def main(config: str, life_seconds: str) -> int:
    """Serve until told to stop."""
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # the loop is ours to time
    figures = Figures()
    asyncio.set_event_loop_policy(TimedPolicy(figures))

    def near(account: AccountConfig, clock: Clock) -> Cloud:
        provider = KnownProvider(TrueTime(), id_token_seconds=36_000.0)  # type: ignore[arg-type]
        return Cloud(provider, FakeVerifier(), NearIssuer(figures, int(life_seconds)))

    return serve(Path(config), Parts(make_cloud=near))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
