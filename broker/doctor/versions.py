"""Versions of this program, of Python and of the libraries that matter.

The one invariant: a library that is missing is told, never a crash.
"""

from __future__ import annotations

import platform
import ssl
import sys
from importlib.metadata import PackageNotFoundError, version

from broker import __version__
from broker.doctor.finding import Finding, fine, wrong

LIBRARIES = ("aiohttp", "apscheduler", "authlib", "cryptography", "joserfc", "msal")
OLDEST_PYTHON = (3, 11)
AREA = "versions"


def look_at_versions() -> list[Finding]:
    """This program, Python, OpenSSL, the libraries."""
    found = library_versions()
    told = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    findings = [fine(AREA, f"eliot-broker {__version__}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}")]
    missing = [name for name, number in found.items() if number is None]
    if missing:
        findings.append(wrong(AREA, f"missing: {', '.join(missing)}", "install it anew: pip install eliot-broker"))
    if sys.version_info < OLDEST_PYTHON:
        findings.append(wrong(AREA, "this Python is older than 3.11", "install it with Python 3.11 or later"))
    return [*findings, fine(AREA, told)]


def library_versions() -> dict[str, str | None]:
    """The version of each library; None where it is not installed."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
