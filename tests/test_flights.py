"""How a stop ends what is under way, in virtual time: how long it waits for what, and what it tells systemd."""

from __future__ import annotations

import asyncio

from broker.drill.virtual import VirtualClock, pass_seconds, run_virtual
from broker.flights import STOP_SECONDS, Flights

FOREVER = 1e6


class Requests:
    """Token requests that take until `ends_at`, in the loop's time; the first is sent at `begins_at`."""

    def __init__(self, begins_at: float, ends_at: float) -> None:
        self._begins_at, self._ends_at = begins_at, ends_at

    @property
    def busy(self) -> bool:
        return self._begins_at <= now() < self._ends_at

    async def drained(self, seconds: float) -> bool:
        await pass_seconds(max(0.0, min(seconds, self._ends_at - now())))
        return not self.busy


class Stop:
    """One stop: how long it took, at which second it asked for how many more, and what became of the flight."""

    def __init__(
        self, flight_seconds: float, requests: tuple[float, float] = (0.0, 0.0), *, deaf: bool = False
    ) -> None:
        self.asked: list[tuple[float, float]] = []
        self.outcome = "never ended"
        self._deaf = deaf
        run_virtual(self._run(flight_seconds, requests), VirtualClock())

    async def _run(self, flight_seconds: float, requests: tuple[float, float]) -> None:
        begun = now()
        begins, ends = requests
        in_flight = Requests(begun + begins, begun + ends)
        flights = Flights(in_flight, lambda seconds: self.asked.append((now() - begun, seconds)))
        flight = flights.add(asyncio.get_running_loop().create_task(self._fly(flight_seconds)))
        await flights.end()
        self.took = now() - begun
        flight.cancel()

    async def _fly(self, seconds: float) -> None:
        try:
            await pass_seconds(seconds)
            self.outcome = "landed"
        except asyncio.CancelledError:
            self.outcome = "cancelled"
            if self._deaf:
                await pass_seconds(FOREVER)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_without_a_token_request_no_time_is_asked_for_and_a_call_is_given_up_within_five_seconds() -> None:
    stop = Stop(FOREVER)
    assert stop.asked == []
    assert stop.took < 4
    assert stop.outcome == "cancelled"
    assert Stop(FOREVER, deaf=True).took < 5, "one that does not heed being cancelled, too"


def test_a_token_request_has_all_its_time_and_its_answer_is_saved() -> None:
    stop = Stop(21.0, requests=(0.0, 20.0))  # the longest that one is waited for, and a second to save
    assert stop.outcome == "landed"
    assert stop.took == 21.0


def test_the_time_asked_for_is_thirty_seconds_in_all_and_the_stop_is_over_before() -> None:
    for requests in ((0.0, FOREVER), (1.0, FOREVER), (3.4, FOREVER)):
        stop = Stop(FOREVER, requests, deaf=True)
        assert stop.asked, "or systemd kills it in the middle"
        assert max(at + seconds for at, seconds in stop.asked) <= STOP_SECONDS == 30.0
        assert stop.took < STOP_SECONDS - 1, "something is left for what comes after"


def test_time_is_asked_for_only_while_a_token_request_is_in_flight() -> None:
    assert [at for at, _ in Stop(FOREVER, (0.0, 2.0)).asked] == [0.0]
    assert [at for at, _ in Stop(FOREVER, (2.0, 9.0)).asked] == [3.5]
