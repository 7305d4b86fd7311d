"""`ticket` without argparse: whatever is taken is read as the parser reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.failures import UsageError
from broker.cli.parser import build_parser
from broker.cli.quick import serve_arguments, ticket_arguments

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


SERVE = st.sampled_from(["serve", "--config", "/etc/x.toml", "x", "", "-", "--help", "--config=x"])


@given(st.lists(SERVE, max_size=4))
def test_what_is_taken_of_serve_is_read_as_the_parser_reads_it(argv: list[str]) -> None:
    taken = serve_arguments(argv)
    if taken is not None:
        assert {**vars(taken), "command": "serve", "run": "serve:run"} == vars(build_parser(argv).parse_args(argv))


@pytest.mark.parametrize("line", ["serve", "serve --config /etc/x.toml"])
def test_what_units_write_is_taken(line: str) -> None:
    assert serve_arguments(line.split()) is not None


@pytest.mark.parametrize("line", ["serve --config", "serve --config -x", "serve x", "serve --config x y"])
def test_mistakes_in_serve_are_left_to_the_parser_to_explain(line: str) -> None:
    assert serve_arguments(line.split()) is None
    with pytest.raises(UsageError):
        build_parser(line.split()).parse_args(line.split())
