"""`ticket` without argparse: whatever is taken is read as the parser reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.failures import UsageError
from broker.cli.parser import build_parser
from broker.cli.quick import ticket_arguments

LINE = "ticket front-door status --socket /x unix:///x --wait --min-validity 10 -1 -d ٣ --json --format {ticket}"
WORDS = st.sampled_from([*LINE.split(), "--wait=5", "--", "--help", "--wai", "1.5", "007", "-", ""])


@given(st.lists(WORDS, max_size=8))
def test_what_is_taken_is_read_as_the_parser_reads_it(argv: list[str]) -> None:
    taken = ticket_arguments(argv)
    if taken is not None:
        read = vars(build_parser(argv).parse_args(argv))
        assert read.pop("command") == "ticket"
        assert read.pop("run") == "ticket:ticket"
        assert vars(taken) == read


@pytest.mark.parametrize(
    "line",
    [
        "ticket front-door",
        "--socket /x ticket front-door",
        "ticket --wait 10 front-door",
        "ticket front-door --min-validity 60 --wait 10 --socket /x",
    ],
)
def test_what_scripts_write_is_taken(line: str) -> None:
    taken = ticket_arguments(line.split())
    assert taken is not None
    read = vars(build_parser(line.split()).parse_args(line.split()))
    assert {**vars(taken), "command": "ticket", "run": "ticket:ticket"} == read


@pytest.mark.parametrize("line", ["ticket", "ticket a b", "ticket a --wait", "ticket a --wait x", "--socket", ""])
def test_mistakes_are_left_to_the_parser_to_explain(line: str) -> None:
    assert ticket_arguments(line.split()) is None
    with pytest.raises(UsageError):
        build_parser(line.split()).parse_args(line.split())
