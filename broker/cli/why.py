"""`why NAME`: what the broker tells about one ticket and the account behind it, in the order of a diagnosis.

The one invariant: it explains with the broker's own words and adds no guess of its own.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.cli.failures import HINTS, Failure
from broker.cli.status_text import account_lines, failure_lines, ticket_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from broker.cli.terminal import Terminal

    Row = dict[str, Any]


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Explain the state of a ticket."""
    status = client_for(args).status()
    ticket = _row(status.get("tickets"), args.name)
    if ticket is None:
        raise Failure(f"there is no ticket {args.name}", exit_codes.USAGE, hint=HINTS["unknown_ticket"])
    account = _row(status.get("accounts"), ticket.get("account"))
    if args.json:
        terminal.document({"ticket": ticket, "account": account})
    else:
        said = _ticket(ticket)
        more = (
            [] if account is None else [line for line in _account(account) if line not in said or "plan:" not in line]
        )
        terminal.result("\n".join(said + more))
    return exit_codes.DONE


def _row(rows: object, name: object) -> Row | None:
    rows = rows if isinstance(rows, list) else []
    return next((row for row in rows if row.get("name") == name), None)


def _ticket(row: Row) -> list[str]:
    lines = ["ticket " + line for line in ticket_lines(row)] + _reasons(row)
    return lines + [f"  {word}: {_words(row[word])}" for word in ("why", "plan", "warm") if row.get(word)]


def _account(row: Row) -> list[str]:
    first, *rest = account_lines(row)
    told = [f"  {word}: {_words(row[word])}" for word in ("why", "plan") if row.get(word)]
    return [f"account {first}", *rest, *_reasons(row), *told]


def _reasons(row: Row) -> list[str]:
    """Why something is not there, what went wrong last, and who must act."""
    lines = [f"  because: {row['detail']}"] if row.get("detail") else []
    failure = row.get("failure") or row.get("last_failure") or {}
    detail = failure.get("detail")
    if detail and detail != row.get("detail") and "display_name" not in row:
        lines += [f"  {line.strip()}" for line in failure_lines(row)]
    if row.get("remedy"):
        lines.append(f"  remedy: {row['remedy']}")
    hint = row.get("hint") or failure.get("hint")
    if hint:
        lines.append(f"  hint: {hint}")
    return lines


def _words(value: object) -> str:
    """A value of the document for people: its own `words` where it has them."""
    if isinstance(value, dict):
        return str(value.get("words") or ", ".join(f"{key} {each}" for key, each in value.items()))
    return str(value)
