"""The whole examination, in the order in which one thing needs the other.

Knows every room and no terminal. The one invariant: a room that needs what another found wrong is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.doctor.cloud import hosts_of, look_at_provider
from broker.doctor.configuration import look_at_configuration
from broker.doctor.daemon import look_at_daemon, prove_key
from broker.doctor.network import look_at_host
from broker.doctor.permissions import look_at_permissions
from broker.doctor.versions import look_at_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from broker.client import Client
    from broker.config import Config
    from broker.doctor.finding import Finding
    from broker.ports import Clock


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined; `call` names the ticket for which one call may be spent."""

    config_file: Path | None
    environ: Mapping[str, str]
    client: Client
    clock: Clock
    offline: bool = False
    call: str | None = None


def examine(patient: Patient) -> Iterator[Finding]:
    """Every finding, as it is found."""
    yield from look_at_versions()
    reading = look_at_configuration(patient.config_file, patient.environ)
    yield from reading.findings
    if reading.config is not None:
        yield from look_at_permissions(reading.config)
        if not patient.offline:
            yield from _cloud(reading.config, patient)
    yield from look_at_daemon(patient.client)
    if patient.call:
        yield from prove_key(patient.client, patient.call)


def _cloud(config: Config, patient: Patient) -> Iterator[Finding]:
    unreachable = set()
    for host in hosts_of(config):
        for finding in look_at_host(host, patient.clock, patient.environ):
            yield finding
            if finding.code and finding.area in {"dns", "tls", "network"}:
                unreachable.add(host.what)
    if "the login" not in unreachable:
        for account in config.accounts.values():
            yield from look_at_provider(account, patient.clock, patient.environ)
