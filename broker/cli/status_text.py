"""The answer of GET /v1/status as one screen for people: problems first, then accounts, tickets and the rest.

Pure: a document in, text out; tolerant of fields that are missing, because brokers differ in age. The one
invariant: it shows nothing that is not in the document.
"""

from __future__ import annotations

from time import gmtime, strftime

from broker.core.problem_rows import gathered, said
from broker.core.words import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = dict[str, Any]


NONE = "none is configured"
MOST_TICKETS = 12
STATES = ("unavailable", "stale", "fresh")
WORTH_SECONDS = 60  # a problem that is younger is told without its age
LONGEST_PAUSE_SECONDS = 30 * 86_400  # a next attempt later than that means: none


def render(document: Row, now: float) -> str:
    """The whole screen; `now` in Unix seconds."""
    blocks = [
        _title(document, now),
        _block("problems", problem_lines(document, now)),
        _block("accounts", [line for row in document.get("accounts") or [] for line in account_lines(row)] or [NONE]),
        _block("tickets", _tickets(document.get("tickets") or []) or [NONE]),
        _block("broker", _broker(document)),
    ]
    return "\n\n".join(block for block in blocks if block)


def problem_lines(document: Row, now: float) -> list[str]:
    """The problems: what, who must act, since when, whose, and how."""
    lines = []
    for row in gathered(document.get("problems") or []):
        lines.append(f"{said(row)} [{row.get('code', '?')}, remedy: {row.get('remedy', '?')}{_standing(row, now)}]")
        lines += [f"  {field}: {row[field]}" for field in ("concerns", "hint") if row.get(field)]
    return lines


def _standing(row: Row, now: float) -> str:
    """How often it was met and for how long it has stood, where that is worth a word."""
    count, seconds = row.get("count"), None if row.get("since") is None else now - row["since"]
    times = f"; {count} times" if count is not None and count > 1 else ""
    if seconds is None or seconds < WORTH_SECONDS:
        return times
    return f"{times} in {duration(seconds)}" if times else f"; for {duration(seconds)}"


def account_lines(row: Row) -> list[str]:
    """An account: who, until when, when it is refreshed, its quota."""
    who = row.get("display_name") or row.get("subject")
    state = row.get("state", "?")
    whose = f" as {who}" if state == "logged_in" else f" ({who})"
    lines = [f"{row.get('name', '?')}: {state}{whose if who else ''}"]
    left = (row.get("runway") or {}).get("login")
    if row.get("login_expires_at") is not None and left != 0:
        lines.append(f"  login until {_date(row['login_expires_at'])} ({duration(left)})")
    token = row.get("id_token") or {}
    if token:
        lines.append(
            f"  id token for {duration(token.get('expires_in'))}{_next('refresh', row.get('next_refresh_in'))}"
        )
    if (row.get("login") or {}).get("pending"):
        lines.append("  a login is pending")
    lines += _quota(row.get("quota") or {})
    return lines + failure_lines(row)


def _tickets(rows: list[Row]) -> list[str]:
    """Every ticket; of very many those first that cannot be had, and the rest by number, to stay on one screen."""
    if len(rows) > MOST_TICKETS:
        rows = sorted(rows, key=lambda row: STATES.index(row["state"]) if row.get("state") in STATES else 0)
    told, rest = rows[:MOST_TICKETS], rows[MOST_TICKETS:]
    lines = [line for row in told for line in ticket_lines(row)]
    states = [str(row.get("state")) for row in rest]
    more = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return [*lines, f"and {more} more; all of them: eliot-broker status --json"] if rest else lines


def wrapped(text: str, columns: int) -> str:
    """The text in lines of so many columns, broken between words; a hint stays whole, for it may be copied."""
    from textwrap import wrap

    lines = []
    for line in text.splitlines():
        if len(line) <= columns or line.lstrip().startswith("hint: "):
            lines.append(line)
            continue
        indent = " " * (len(line) - len(line.lstrip()))
        lines += wrap(line, columns, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def ticket_lines(row: Row) -> list[str]:
    """A ticket: for how long, when it is renewed, or why there is none."""
    head = f"{row.get('name', '?')}: {row.get('state', '?')}"
    if row.get("expires_in") is not None:
        return [f"{head}, valid for {duration(row['expires_in'])}{_next('renewal', row.get('next_renewal_in'))}"]
    if row.get("code"):
        return [f"{head}: {row['code']}{_next('attempt', row.get('next_renewal_in'))}"]
    return [f"{head}, nobody asked for it yet" if row.get("state") == "unavailable" else head]


def runway(document: Row) -> str:
    """The runway in one sentence; empty where it is not told."""
    left = dict(document.get("runway") or {})
    if not left.get("login", 1):  # before the first login, and after the last one's end: the problems say it
        left = {"tickets": left.get("tickets") or None}
    parts = [f"{what} {duration(left[what])}" for what in ("tickets", "login") if left.get(what) is not None]
    return f"if the Internet died now: {', '.join(parts)}" if parts else ""


def _title(document: Row, now: float) -> str:
    title = f"eliot-broker {document.get('version', '?')}"
    if document.get("started_at") is not None:
        title += f", up {duration(now - document['started_at'])}"
    return "\n".join(line for line in (title, runway(document)) if line)


def _block(title: str, lines: list[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _broker(document: Row) -> list[str]:
    lines = []
    clock, state = document.get("clock") or {}, document.get("state") or {}
    if clock:
        state_of_clock = "synchronized" if clock.get("synchronized") else "not synchronized"
        skew = clock.get("skew_seconds")
        lines.append(f"clock: {state_of_clock}" + ("" if skew is None else f", {skew} s from the cloud's"))
    if isinstance(state, dict) and state:
        where = f"{state['directory']}, " if state.get("directory") else ""
        lines.append(f"state: {where}key from {state.get('key_source', 'unknown')}")
    return lines


def _quota(quota: Row) -> list[str]:
    if quota.get("stopped_for"):  # our own count begins anew with it
        return [f"  quota: used up, the cloud says; no call for {duration(quota['stopped_for'])}"]
    if not quota.get("limit"):
        return []
    line = f"  quota: {quota.get('used', '?')} of {quota['limit']} calls used, {quota.get('reserve', 0)} in reserve"
    if quota.get("resets_in") is not None:
        line += f", resets in {duration(quota['resets_in'])}"
    return [line]


def failure_lines(row: Row) -> list[str]:
    """What went wrong last, and when it is tried again."""
    failure = row.get("last_failure")
    if not failure:
        return []
    what = str(failure.get("detail") or failure.get("code") or "unknown")
    if what in str(row.get("detail")):
        return []  # said already, as what is wrong now
    seconds = failure.get("next_attempt_in")
    told = "next attempt" in what or not isinstance(seconds, int) or seconds > LONGEST_PAUSE_SECONDS
    return [f"  last failure: {what}{'' if told else _next('attempt', seconds)}"]


def _next(what: str, seconds: object) -> str:
    return "" if seconds is None else f", next {what} in {duration(seconds)}"


def _date(seconds: float) -> str:
    return strftime("%Y-%m-%d %H:%M UTC", gmtime(seconds))
