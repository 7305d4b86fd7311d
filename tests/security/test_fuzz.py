"""Any bytes at every border: a value or a refusal of ours, no crash, no hang, no secret repeated."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.targets import FOUND, SECRET, SEEDS, TARGETS, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

SOAK_BYTES = 10_000_000
MOST_CPU_SECONDS = 2.0  # for one input of 4 KiB at most
DICTIONARY = (
    SECRET.encode(),
    b"\x00",
    b"\xff\xfe",
    b"\r\n\r\n",
    b"%00",
    b"9" * 40,
    b"-1",
    b'"',
    b"{" * 200,
    b"[",
    b"=",
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with a piece taken out and something put in."""
    seed = draw(st.sampled_from(SEEDS))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, len(seed)))
    return seed[:start] + draw(st.one_of(st.binary(max_size=40), st.sampled_from(DICTIONARY))) + seed[end:]


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_understood_or_refused(name: str) -> None:
    @settings(max_examples=60, deadline=2000, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=300), mutated()))
    def fuzz(data: bytes) -> None:
        refusals(TARGETS[name], data)

    fuzz()


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_is_found_no_more(name: str, data: bytes) -> None:
    refusals(TARGETS[name], data)


def mutations(random_: random.Random) -> Iterator[bytes]:
    """Seeds, again and again: bytes flipped, pieces cut, doubled, swapped, words put in."""
    while True:
        data = bytearray(random_.choice(SEEDS))
        for _ in range(random_.randint(1, 8)):
            at = random_.randint(0, len(data))
            match random_.randint(0, 4):
                case 0 if data:
                    data[at % len(data)] ^= 1 << random_.randint(0, 7)
                case 1:
                    del data[at : at + random_.randint(1, 16)]
                case 2:
                    data[at:at] = data[at : at + random_.randint(1, 64)]
                case 3:
                    data[at:at] = random_.choice(DICTIONARY)
                case _:
                    data[at:at] = random_.randbytes(random_.randint(1, 32))
        yield bytes(data[:4096])


@pytest.mark.soak
def test_ten_million_bytes_find_nothing() -> None:
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    spent, runs = 0, 0
    for data in mutations(random.Random(seed)):
        for name, target in TARGETS.items():
            begun = time.process_time()
            try:
                refusals(target, data)
            except Exception as error:
                raise AssertionError(f"seed {seed}, target {name}, input {data!r}") from error
            assert time.process_time() - begun < MOST_CPU_SECONDS, (seed, name, data)
            spent += len(data)
            runs += 1
        if spent >= SOAK_BYTES:
            break
    print(f"{spent} bytes in {runs} runs of {len(TARGETS)} targets, seed {seed}: nothing found")
