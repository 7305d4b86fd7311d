"""The running daemon, asked over its socket: does it answer, is it this version, what does it say is wrong?

Knows the client library and nothing of the daemon's inside. The one invariant: only `prove_key` spends a call, and
only because it was asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker import __version__
from broker.client import operations
from broker.client.problems import ClientError, Problem
from broker.core.problem_rows import gathered, said
from broker.doctor.finding import Finding, Level, doubtful, fine, wrong

if TYPE_CHECKING:
    from broker.client import Client

UNREACHABLE = "unreachable"
START = "start it: systemctl start eliot-broker, or eliot-broker serve; --socket names another place"
ASK = "eliot-broker status"


def look_at_daemon(client: Client) -> list[Finding]:
    """Whether it runs, and its own list of problems."""
    try:
        status = client.status()
    except Problem as problem:
        return [wrong("daemon", problem.detail, problem.hint or "eliot-broker config check", problem.code)]
    except ClientError as error:
        return [wrong("socket", str(error), START, UNREACHABLE)]
    findings = [fine("socket", f"eliot-broker {status.get('version')} answers"), *_version(status)]
    findings += [_problem(row) for row in gathered(status.get("problems") or [])]
    for row in status.get("accounts") or []:
        if not row.get("code"):
            findings.append(fine("login", f"account {row['name']} is {row.get('state')}"))
    return findings


def prove_key(client: Client, name: str) -> list[Finding]:
    """One counted call for this ticket: subscription key, token and door together."""
    try:
        told = client.call(operations.probe(name, only_configured=True))
    except ClientError as error:
        code = error.code if isinstance(error, Problem) else UNREACHABLE
        return [wrong("subscription key", str(error), error.hint or ASK, code)]
    row: dict[str, Any] = next(iter(told.get("attempts") or []), {})
    if row.get("verdict") == "accepted":
        return [fine("subscription key", f"accepted, and a ticket came for {name} (1 call)")]
    remedy = f"eliot-broker probe {name} tries the other forms" if row.get("verdict") == "refused" else ASK
    return [wrong("subscription key", str(row.get("detail")), remedy, str(row.get("code") or "config_error"))]


def _version(status: dict[str, Any]) -> list[Finding]:
    if status.get("version") == __version__:
        return []
    text = f"the daemon is version {status.get('version')}, this command {__version__}"
    return [doubtful("versions", text, "restart it: systemctl restart eliot-broker")]


def _problem(row: dict[str, Any]) -> Finding:
    concerns = f" (concerns {row['concerns']})" if row["concerns"] else ""
    waits = row.get("remedy") == "retry"
    remedy = row.get("hint") or ("nothing: the broker tries again by itself" if waits else ASK)
    return Finding("daemon", Level.PROBLEM, f"{said(row)}{concerns}", str(remedy), str(row.get("code")))
