"""What a failed exchange means in plain words: DNS, refused, TLS, proxy, timeout, broken off.

Knows aiohttp's errors and nothing of their texts, which may hold URLs and passwords. The one invariant: a failure
from before there was a connection is never ambiguous, a failure after it always is.
"""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from broker.errors import InvalidResponse, UpstreamError, UpstreamRejected, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_YET_VALID, HAS_EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
HOSTNAME_MISMATCH = 62
CLOCK_IS_WRONG_BEFORE_YEAR = 2024
CLOCK_IS_WRONG_FROM_YEAR = 2036


class Interrupted(Exception):
    """The connection broke before the answer began."""


class TooLarge(Exception):
    """The body is longer than any answer of the cloud."""


def network_failure(
    error: Exception, *, service: str, host: str, sent: bool, seconds: float, wall_seconds: float
) -> UpstreamError:
    """The UpstreamError for what went wrong; `sent`: there was a connection, `seconds` the deadline of the exchange."""
    if isinstance(error, UpstreamError):
        return error
    if isinstance(error, TooLarge):
        return InvalidResponse(f"{service} answered with far too much", service=service, ambiguous=True)
    if isinstance(error, aiohttp.NonHttpUrlClientError | ValueError) and not isinstance(error, OSError):
        return UpstreamRejected(f"{service} has no usable URL", service=service, hint="check the URLs of this account")
    if isinstance(error, aiohttp.ClientResponseError) and not isinstance(error, aiohttp.ClientHttpProxyError):
        return InvalidResponse(f"{service} answered with something that is no HTTP", service=service, ambiguous=True)
    if sent:
        return _after_connection(error, service, seconds)
    why, hint = _before_connection(error, host, wall_seconds)
    return UpstreamUnavailable(f"{service} cannot be reached: {why}", service=service, hint=hint)


def refused_header(headers: Mapping[str, str], service: str) -> UpstreamRejected | None:
    """A header that cannot be sent: a secret with a line break or another control character in it."""
    for name, value in headers.items():
        if not value.isprintable():
            return UpstreamRejected(
                f"{service} was not asked: the value for {name} has a control character in it",
                service=service,
                hint="check the secret for a line break in the middle",
            )
    return None


def _after_connection(error: Exception, service: str, seconds: float) -> UpstreamUnavailable:
    if isinstance(error, TimeoutError):
        text = f"{service} did not answer in full within {seconds:g} s"
    else:
        text = f"{service} broke off before its answer was complete"
    return UpstreamUnavailable(text, service=service, ambiguous=True)


def _before_connection(error: Exception, host: str, wall_seconds: float) -> tuple[str, str]:
    """Why there was no connection, and what can be done."""
    match error:
        case aiohttp.ClientHttpProxyError(status=HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
            told = "the proxy wants credentials", "check the user and password in HTTPS_PROXY"
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            told = "the proxy does not let us through", "check HTTPS_PROXY and NO_PROXY"
        case aiohttp.ClientConnectorCertificateError():
            told = _certificate(error.certificate_error, host, wall_seconds)
        case ssl.SSLError() | aiohttp.ClientSSLError():
            hint = "a proxy or portal may stand in the way, or the port is wrong"
            told = f"the TLS handshake with {host} failed", hint
        case aiohttp.ClientConnectorDNSError():
            told = f"the name {host} could not be resolved", "check DNS and the network"
        case TimeoutError():
            told = f"no connection to {host} in time", "check the network and the firewall"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            told = f"{host} refused the connection", "check that it is up, and the firewall"
        case _:
            told = f"no connection to {host}", "check the network"
    return told


def _certificate(error: Exception, host: str, wall_seconds: float) -> tuple[str, str]:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code in {NOT_YET_VALID, HAS_EXPIRED}:
        state = "is not yet valid" if code == NOT_YET_VALID else "has expired"
        return f"the certificate of {host} {state} by the local clock", _clock_hint(wall_seconds)
    if code == HOSTNAME_MISMATCH:
        return f"the certificate is not one of {host}", "a captive portal or a proxy may stand in the way"
    why = f"the certificate of {host} is not signed by a trusted CA"
    return why, "a proxy that opens TLS may stand in the way; a CA of your own goes into ca_file"


def _clock_hint(wall_seconds: float) -> str:
    moment = time.gmtime(wall_seconds)
    if CLOCK_IS_WRONG_BEFORE_YEAR <= moment.tm_year < CLOCK_IS_WRONG_FROM_YEAR:
        return f"the clock says {time.strftime('%Y-%m-%d', moment)}: if that is wrong, set it; else the server must act"
    return f"the clock says {moment.tm_year}: TLS cannot work until it is set"
