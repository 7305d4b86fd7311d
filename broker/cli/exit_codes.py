"""The exit codes of the command: one table from a problem's code to a number, and what each number means.

Knows no command. The one invariant: every code of the socket has a number; one that is not in the table (a newer
broker's) is 5, "nothing valid can be had".
"""

from __future__ import annotations

DONE = 0
UNEXPECTED = 1
USAGE = 2
UNREACHABLE = 3
LOGIN_REQUIRED = 4
UNAVAILABLE = 5
NOT_ALLOWED = 6
SHORT_VALIDITY = 7
WAIT_RAN_OUT = 8
BROKEN_PIPE = 141  # as if SIGPIPE had ended us
INTERRUPTED = 130  # as if SIGINT had

OF_CODE = {
    "bad_request": USAGE,
    "not_allowed": NOT_ALLOWED,
    "unknown_ticket": USAGE,
    "unknown_account": USAGE,
    "login_required": LOGIN_REQUIRED,
    "config_error": USAGE,
    "quota_exhausted": UNAVAILABLE,
    "rate_limited": UNAVAILABLE,
    "gateway_offline": UNAVAILABLE,
    "user_action_required": UNAVAILABLE,
    "upstream_unavailable": UNAVAILABLE,
    "invalid_response": UNAVAILABLE,
    "short_validity": SHORT_VALIDITY,
    "clock_unsynchronized": UNAVAILABLE,
    "state_unavailable": UNAVAILABLE,
    "shutting_down": UNREACHABLE,
    "internal_error": UNEXPECTED,
}

MEANINGS = {
    DONE: "done",
    UNEXPECTED: "unexpected, or serve refused to start (lock, port)",
    USAGE: "usage or configuration",
    UNREACHABLE: "the daemon is unreachable or stopping",
    LOGIN_REQUIRED: "a person must log in",
    UNAVAILABLE: "nothing valid can be had now, for another reason",
    NOT_ALLOWED: "this user may not do that",
    SHORT_VALIDITY: "a ticket is there, but not valid for long enough",
    WAIT_RAN_OUT: "--wait (or --timeout) ran out",
}


def of_code(code: str) -> int:
    """The exit code for a problem's code."""
    return OF_CODE.get(code, UNAVAILABLE)


def table() -> str:
    """The table for people: number, meaning, and the codes that lead there."""
    lines = []
    for number, meaning in MEANINGS.items():
        codes = [code for code, of in OF_CODE.items() if of == number]
        lines.append(f"{number}  {meaning}")
        lines += [f"     {code}" for code in codes]
    return "\n".join(lines)
