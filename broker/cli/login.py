"""`login`: begin a login, show its URL, then take whichever way it is completed first.

That is the redirect on the daemon's listener, or the redirect URL pasted into stdin. Knows the socket's operations
and a terminal, no OAuth. The one invariant: it says "logged in" only after the daemon did.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.daemon import client_for
from broker.cli.failures import Failure
from broker.cli.login_display import Countdown, show
from broker.cli.pasted import PastedLines
from broker.client.problems import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal
    from broker.client.operations import Document
    from broker.client.synchronous import Client

BETWEEN_SECONDS = 1.0


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Log in to an account."""
    client = client_for(args)
    before = client.account(args.name).get("login_id")
    started = client.login(args.name)
    show(started, terminal, as_json=args.json, browser=args.browser)
    row = Login(client, args, terminal, started, before).wait()
    if args.json:
        terminal.document(row, indent=None)
    who = row.get("display_name") or row.get("subject")
    terminal.note(f"logged in as {who}" if who else f"logged in to {args.name}")
    return exit_codes.DONE


class Login:
    """One pending login: waits for its end."""

    def __init__(
        self, client: Client, args: argparse.Namespace, terminal: Terminal, started: Document, before: object
    ) -> None:
        self._client = client
        self._name: str = args.name
        self._paste_only: bool = args.paste
        self._terminal = terminal
        self._before = before
        self._expires_at = float(started.get("expires_at") or terminal.now() + 600)
        self._interactive = terminal.stdin.isatty()
        self._input = PastedLines(terminal)
        self._countdown = Countdown(terminal)

    def wait(self) -> Document:
        """The account's row once logged in. Raises: Failure, Problem, Unreachable."""
        self._countdown.show(self._left())
        while True:
            row = self._take_line(self._input.next(BETWEEN_SECONDS)) or self._look()
            if row is not None:
                self._countdown.end()
                return row
            self._countdown.show(self._left())

    def _left(self) -> float:
        return self._expires_at - self._terminal.now()

    def _take_line(self, line: str | None) -> Document | None:
        """What a pasted line leads to; None: go on waiting."""
        if line is None:
            if self._paste_only and self._input.ended:
                hint = "run it again and give the address that the browser ends at on one line of stdin"
                raise Failure("standard input ended without a redirect URL", exit_codes.USAGE, hint=hint)
            return None
        try:
            return self._client.complete_login(self._name, line)
        except Problem as problem:
            if problem.code != "bad_request" or not self._interactive:
                raise
            self._countdown.end()
            self._terminal.note(f"that is not it: {problem.detail}{f'; {problem.hint}' if problem.hint else ''}")
            self._countdown.show(self._left())
            return None

    def _look(self) -> Document | None:
        """The account's row if the daemon's listener has completed the login; None: not yet."""
        row = self._client.account(self._name)
        login = row.get("login") or {}
        pending = bool(login.get("pending")) or row.get("state") == "login_pending"
        if row.get("state") == "logged_in" and row.get("login_id") not in {None, self._before}:
            return row
        if not pending:  # it was when it began; a refusal may have come before the first look
            raise self._ended(login)
        if self._left() <= 0:
            hint = f"begin it again: eliot-broker login {self._name}"
            raise Failure("the login was not completed in time", exit_codes.LOGIN_REQUIRED, hint=hint)
        return None

    def _ended(self, login: Document) -> Failure:
        detail = login.get("detail") or "it is no longer pending"
        self._countdown.end()
        return Failure(
            f"the login to {self._name} ended: {detail}",
            exit_codes.LOGIN_REQUIRED,
            hint=login.get("hint") or f"begin it again: eliot-broker login {self._name}",
        )
