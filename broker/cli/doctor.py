"""`doctor`: everything that can be looked at without spending a call, each finding with its remedy.

Knows the terminal; what is looked at is in `broker.doctor`. The one invariant: the exit code is that of the first
problem, and 0 where there are only warnings.
"""

from __future__ import annotations

from pathlib import Path

from broker.cli import exit_codes
from broker.cli.daemon import client_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from broker.cli.terminal import Terminal
    from broker.doctor.finding import Finding

MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Examine everything."""
    findings = []
    for finding in examine(args, terminal):
        findings.append(finding)
        if not args.json:
            terminal.result(line(finding))
    problems = [finding for finding in findings if finding.level == "problem"]
    warnings = [finding for finding in findings if finding.level == "warning"]
    if args.json:
        rows = [document(finding) for finding in findings]
        terminal.document({"findings": rows, "problems": len(problems), "warnings": len(warnings)})
    terminal.note(f"{_count(len(problems), 'problem')}, {_count(len(warnings), 'warning')}")
    return _exit_code(problems)


def examine(args: argparse.Namespace, terminal: Terminal) -> Iterator[Finding]:
    """The findings, one by one as they are found."""
    from broker.adapters.clock import SystemClock
    from broker.doctor.examination import Patient, examine

    patient = Patient(
        config_file=Path(args.config) if args.config else None,
        environ=dict(terminal.environment),
        client=client_for(args),
        clock=SystemClock(),
        offline=args.offline,
        call=args.call,
    )
    return examine(patient)


def line(finding: Finding) -> str:
    """A finding for people."""
    text = f"{MARKS[finding.level]:8}{finding.area}: {finding.text}"
    return f"{text}\n        hint: {finding.remedy}" if finding.remedy else text


def document(finding: Finding) -> dict[str, str | None]:
    """A finding for programs."""
    return {
        "area": finding.area,
        "level": str(finding.level),
        "text": finding.text,
        "remedy": finding.remedy,
        "code": finding.code,
    }


def _exit_code(problems: list[Finding]) -> int:
    if not problems:
        return exit_codes.DONE
    code = problems[0].code
    return exit_codes.UNREACHABLE if code == "unreachable" else exit_codes.of_code(code or "config_error")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
