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
    def from_problem(cls, problem: Problem) -> Failure:
        """What the broker said, with a hint where it gave none."""
        problems = problem.document.get("problems")
        told = [str(each) for each in problems] if isinstance(problems, list) else []
        details = [each for each in told if each not in problem.detail]
        return cls(problem.detail, exit_codes.of_code(problem.code), hint=_hint(problem), details=details)


class UsageError(Failure):
    """The arguments, or what was answered to a question, cannot be used; `hint` says where help is."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, exit_codes.USAGE, hint=hint)


def _hint(problem: Problem) -> str | None:
    if problem.hint:
        waits = problem.remedy == "retry" and problem.retry_after
        return f"{problem.hint}; {_again(problem.retry_after)}" if waits else problem.hint
    if problem.code in HINTS:
        return HINTS[problem.code]
    if problem.remedy == "login":
        return f"log in: eliot-broker login {problem.document.get('account') or 'ACCOUNT'}"
    if problem.retry_after:
        return f"{_again(problem.retry_after)}; ask then, or use --wait"
    return None


def _again(seconds: int | None) -> str:
    from broker.cli.durations import duration

    return f"the broker tries again by itself in {duration(seconds)}"
