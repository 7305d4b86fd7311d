"""`setup`: from nothing to a ticket, question by question; each step can be done by hand as well.

Writes broker.toml and the secrets, checks them, and offers what comes next: a running broker, the login, the plant and
the device. The one invariant: what is written before something fails stays good, and running it again goes on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import contextmanager

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.cli.questions import Questions
from broker.cli.setup_answers import Answers, ask, render, render_ticket
from broker.cli.setup_files import append, config_place, keep_secrets, may_seal, may_write, write
from broker.client import Client, ClientError, Problem, Unreachable, operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from broker.cli.terminal import Terminal
    from broker.config import Config

START_SECONDS = 20
TICKET_SECONDS = 20
BY_HAND = "by hand: eliot-broker serve, eliot-broker login ACCOUNT, eliot-broker ticket NAME"


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Set the broker up."""
    return Setup(args, terminal).run()


class Setup:
    """One run of it."""

    def __init__(self, args: argparse.Namespace, terminal: Terminal) -> None:
        self._terminal = terminal
        self._questions = Questions(terminal)
        self._path = config_place(args.config, terminal.environment, os.geteuid())
        self._socket: str | None = args.socket
        self._written = False

    def run(self) -> int:
        """Ask, write, check, and go on as far as is wanted."""
        try:
            return self._run()
        except KeyboardInterrupt:
            kept = f"{self._path} is written and stays; {BY_HAND}" if self._written else "nothing was written"
            raise Failure(f"interrupted; {kept}", exit_codes.INTERRUPTED, hint="or run setup again") from None

    def _run(self) -> int:
        self._terminal.note(f"this writes {self._path}; an empty answer takes what is in brackets")
        if not may_write(self._path, self._questions):
            self._terminal.note(f"{self._path} was left as it is; nothing was changed")
            return exit_codes.DONE
        answers = ask(self._questions)
        self._write(answers)
        config = self._check()
        self._terminal.result(str(self._path))
        with self._daemon(config) as client:
            if client is None:
                self._terminal.note(BY_HAND)
                return exit_codes.DONE
            return self._go_on(client, answers)

    def _write(self, answers: Answers) -> None:
        sealed = may_seal(os.geteuid(), self._path) and self._questions.yes(
            "seal the secrets with systemd-creds?", default=True
        )
        secrets = {"subscription-key": answers.subscription_key}
        if answers.client_secret is not None:
            secrets = {"client-secret": answers.client_secret, **secrets}
        references = keep_secrets(secrets, answers.account, self._path, self._questions, sealed=sealed)
        write(self._path, render(answers, references), 0o644)
        self._written = True

    def _check(self) -> Config:
        from broker.cli.doctor import line
        from broker.doctor.configuration import look_at_configuration

        reading = look_at_configuration(self._path, self._terminal.environment)
        for finding in reading.findings:
            self._terminal.note(line(finding))
        if reading.config is None:
            raise Failure("what was answered makes no usable configuration", exit_codes.USAGE, hint="run setup again")
        return reading.config

    @contextmanager
    def _daemon(self, config: Config) -> Iterator[Client | None]:
        """A broker on this configuration: the one that runs, the service, or one for the time of this setup."""
        client = Client(self._socket or config.socket.path)
        if _answers(client):
            client.reload()
            yield client
        elif os.geteuid() == 0 and may_seal(0, self._path):
            yield client if self._service(client) else None
        elif self._questions.yes("start a broker now, for this setup only?", default=True):
            yield from self._for_now(client)
        else:
            yield None

    def _service(self, client: Client) -> bool:
        if not self._questions.yes("install and start the systemd service?", default=True):
            return False
        for words in (["units", "--install"], []):
            command = [sys.executable, "-m", "broker", *words] if words else ["systemctl", "enable", "--now", *UNITS]
            if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 -- commands of ours
                raise Failure("the service could not be started", exit_codes.UNEXPECTED, hint="eliot-broker doctor")
        return self._wait_for(client)

    def _for_now(self, client: Client) -> Iterator[Client | None]:
        command = [sys.executable, "-m", "broker", "serve", "--config", str(self._path)]
        with subprocess.Popen(  # noqa: S603 -- this very program
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(self._terminal.environment),
        ) as process:
            try:
                yield client if self._wait_for(client, process) else None
            finally:
                process.terminate()
                self._terminal.note(f"the broker of this setup stops; run it: eliot-broker serve --config {self._path}")

    def _wait_for(self, client: Client, process: subprocess.Popen[bytes] | None = None) -> bool:
        began = self._terminal.monotonic()
        while not _answers(client):
            if self._terminal.monotonic() - began > START_SECONDS or (
                process is not None and process.poll() is not None
            ):
                hint = f"eliot-broker serve --config {self._path} tells why"
                raise Failure("the broker did not start", exit_codes.UNEXPECTED, hint=hint)
            self._terminal.pause(0.1)
        return True

    def _go_on(self, client: Client, answers: Answers) -> int:
        if not self._questions.yes(f"log in to {answers.account} now?", default=True):
            self._terminal.note(f"later: eliot-broker login {answers.account}")
            return exit_codes.DONE
        from broker.cli import login

        arguments = argparse.Namespace(
            name=answers.account, json=False, paste=False, browser=False, socket=str(client.paths[0])
        )
        code = login.run(arguments, self._terminal)
        if code != exit_codes.DONE:
            return code
        if not answers.plant_id:
            self._find_home(client, answers)
        return self._try_ticket(client, answers)

    def _find_home(self, client: Client, answers: Answers) -> None:
        """Plant and device, chosen from what the catalogue lists, or typed."""
        doors = _doors(self._homes(client, answers.account))
        if doors:
            words = [f"{home} / {module} ({device_id})" for home, module, _, device_id in doors]
            chosen = doors[self._questions.choice("which door?", words)]
            answers.plant_id, answers.device_id = chosen[2], chosen[3]
        else:
            self._terminal.note("the catalogue lists nothing for this application; the ids are in the portal")
            answers.plant_id = self._questions.text("plant id", good=lambda text: None if text else "it is needed")
            answers.device_id = self._questions.text("device id", good=lambda text: None if text else "it is needed")
        append(self._path, render_ticket(answers))
        client.reload()

    def _homes(self, client: Client, account: str) -> list[dict[str, Any]]:
        try:
            return list(client.call(operations.homes(account)).get("homes") or [])
        except Problem as problem:
            self._terminal.note(f"plants cannot be listed: {problem.detail}")
            return []

    def _try_ticket(self, client: Client, answers: Answers) -> int:
        try:
            ticket = client.ticket(answers.ticket, wait=TICKET_SECONDS)
        except Problem as problem:
            hint = f"eliot-broker why {answers.ticket}; where the token is refused: eliot-broker probe {answers.ticket}"
            self._terminal.note(f"no ticket yet: {problem.detail}\nhint: {problem.hint or hint}")
            return exit_codes.of_code(problem.code)
        self._terminal.note(f"it works: a ticket for {answers.ticket} is in hand, valid for {ticket.expires_in} s")
        return exit_codes.DONE


UNITS = ("eliot-broker.socket", "eliot-broker.service")


def _answers(client: Client) -> bool:
    try:
        client.status()
    except Unreachable:
        return False
    except ClientError:
        return True
    return True


def _doors(homes: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Home, module, plant id, device id; what is named a gateway of door entry first is left to the person."""
    return [
        (str(home.get("name") or home["plant_id"]), str(module.get("name") or "module"), home["plant_id"], module["id"])
        for home in homes
        for module in home.get("modules") or []
    ]
