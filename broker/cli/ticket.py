"""`ticket` and `id-token`: print one secret that is valid now, and nothing else.

The fast path: imports the synchronous client and no more. The one invariant: a format is checked before anything is
asked for, so that a mistyped one never uses up a ticket.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.cli.failures import Failure, UsageError
from broker.client import operations
from broker.client.problems import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.client.wire import Reply, Request

TIMES = {"name": "", "generation": 0, "issued_at": 0, "expires_at": 0, "expires_in": 0}
TICKET_FIELDS = {**TIMES, "ticket": "", "plant_id": "", "device_id": ""}
ID_TOKEN_FIELDS = {**TIMES, "id_token": ""}


def ticket(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print a valid ticket."""
    form = _checked(args.format or "{ticket}", TICKET_FIELDS)
    return _vend(args, terminal, operations.ticket(args.name, args.min_validity, args.wait), form)


def id_token(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print a valid id token."""
    form = _checked(args.format or "{id_token}", ID_TOKEN_FIELDS)
    return _vend(args, terminal, operations.id_token(args.name, args.min_validity, args.wait), form)


def _vend(args: argparse.Namespace, terminal: Terminal, request: Request, form: str) -> int:
    if not (args.json or args.format):
        request.headers["Accept"] = "text/plain"  # the bare secret: nothing to parse, so no parser is loaded
    reply = _ask(args, terminal, request)
    if reply.headers.get("content-type", "").startswith("text/plain"):
        terminal.result(reply.take().decode())
        return exit_codes.DONE
    document = operations.read_document(reply)
    if args.json:
        terminal.document(document)
    else:
        terminal.result(form.format_map(document))
    return exit_codes.DONE


def _ask(args: argparse.Namespace, terminal: Terminal, request: Request) -> Reply:
    """A success. Raises: Failure, Unreachable."""
    began = terminal.monotonic()
    try:
        reply = client_for(args).exchange(request)
        if reply.status >= 400:  # noqa: PLR2004 (HTTP's own border)
            operations.read_document(reply)
        return reply  # noqa: TRY300
    except Problem as problem:
        failure = Failure.from_problem(problem, may_wait=not args.wait)
        waited = args.wait and terminal.monotonic() - began >= args.wait
        if waited and problem.remedy == "retry" and failure.exit_code == exit_codes.UNAVAILABLE:
            failure.exit_code = exit_codes.WAIT_RAN_OUT
        raise failure from None


def _checked(form: str, fields: dict[str, object]) -> str:
    try:
        form.format_map(fields)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        names = ", ".join(sorted(fields))
        raise UsageError(f"--format {form!r} cannot be filled in: {error}", f"the fields are {names}") from None
    return form
