"""Failure: how a command ends when it cannot do its work, as an exit code and words for a person.

Knows the client library's exceptions. The one invariant: whoever reads the words learns what to do next, where
that is known.
"""

from __future__ import annotations

from broker.cli import exit_codes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.client.problems import Problem

LONGEST_WAIT_SECONDS = 300  # what --wait may be told
HINTS = {
    "not_allowed": "run it as the broker's user or an admin, or have `allow` name this user",
    "config_error": "see what is wrong: eliot-broker config check",
    "unknown_ticket": "see which there are: eliot-broker status",
    "unknown_account": "see which there are: eliot-broker status",
    "short_validity": "ask for less with --min-validity, or let it --wait for the next ticket",
    "internal_error": "this is a bug of the broker: its log says more",
}


class Failure(Exception):
    """A command cannot do its work; `details` are more lines about why."""

    def __init__(self, message: str, exit_code: int, *, hint: str | None = None, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint
        self.details = tuple(details)

    @classmethod
    def from_problem(cls, problem: Problem, *, may_wait: bool = False) -> Failure:
        """What the broker said, with a hint where it gave none; `may_wait`: the command has a --wait to offer."""
        problems = problem.document.get("problems")
        told = [str(each) for each in problems] if isinstance(problems, list) else []
        details = [each for each in told if each not in problem.detail]
        return cls(
            problem.detail, exit_codes.of_code(problem.code), hint=_hint(problem, may_wait=may_wait), details=details
        )


class UsageError(Failure):
    """The arguments, or what was answered to a question, cannot be used; `hint` says where help is."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, exit_codes.USAGE, hint=hint)


def _hint(problem: Problem, *, may_wait: bool) -> str | None:
    known = problem.hint or HINTS.get(problem.code)
    if problem.remedy == "retry" and problem.retry_after:
        again = _again(problem.retry_after, may_wait=may_wait)
        return f"{known}; {again}" if known else again
    if not known and problem.remedy == "login":
        return f"log in: eliot-broker login {problem.document.get('account') or 'ACCOUNT'}"
    return known


def _again(seconds: int, *, may_wait: bool) -> str:
    from broker.core.words import duration

    said = f"try again in {duration(seconds)}"
    return f"{said}, or let --wait do it" if may_wait and seconds <= LONGEST_WAIT_SECONDS else said
