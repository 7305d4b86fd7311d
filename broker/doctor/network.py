"""The way to each host of the cloud: name, connection, certificate, and the time that it tells.

Asks without key or token, so that nothing is counted. The one invariant: every look is over
within its seconds, whatever hangs.
"""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broker.adapters.transport import BlockingHttp, HttpRequest, Network, TlsContext
from broker.adapters.transport_proxy import ProxySettings
from broker.core.words import counted
from broker.doctor.finding import Finding, doubtful, failed, fine, wrong
from broker.errors import CLOCK_HINT, BrokerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from broker.ports import Clock

SECONDS = 8.0
SKEW_DOUBTFUL_SECONDS = 60.0
SKEW_WRONG_SECONDS = 300.0
CERTIFICATE_DAYS = 14
DAY_SECONDS = 86_400
OFFLINE = "upstream_unavailable"


@dataclass(frozen=True, slots=True)
class Host:
    """A host to look at; `what` says what it is for, `asked` is a document that may be asked for, to hear its Date."""

    url: str
    what: str
    ca_file: Path | None
    asked: str | None = None

    @property
    def origin(self) -> str:
        """Where nothing is counted, for lack of a key: the API's `/`."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/"

    @property
    def name(self) -> str:
        """Its name."""
        return urlsplit(self.url).hostname or "?"

    @property
    def port(self) -> int:
        """Its port."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def look_at_host(host: Host, clock: Clock, environ: Mapping[str, str]) -> list[Finding]:
    """DNS, TLS and the clock; through a proxy only what it lets through."""
    try:
        proxy = ProxySettings.from_environ(environ).proxy_for(host.url, service=host.what)
    except BrokerError as error:
        return [failed("network", error, "correct HTTPS_PROXY")]
    if proxy is not None:
        findings = [fine("network", f"{host.name} is reached through the proxy {proxy.url.host}")]
        return [*findings, *_clock(host, clock, environ)]
    dns = _dns(host)
    if dns.remedy:
        return [dns]
    tls = [_tls(host, clock)] if urlsplit(host.url).scheme == "https" else []
    if any(finding.code for finding in tls):
        return [dns, *tls]
    return [dns, *tls, *_clock(host, clock, environ)]


def _dns(host: Host) -> Finding:
    found: list[str] = []
    trouble: list[OSError] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except OSError as error:
            trouble.append(error)

    thread = threading.Thread(target=resolve, daemon=True)  # a dead resolver holds it for longer than we wait
    thread.start()
    thread.join(SECONDS)
    if found:
        return fine("dns", f"{host.name} ({host.what}) is {found[0]}{' and others' if len(found) > 1 else ''}")
    why = f"no answer within {SECONDS:g} s" if not trouble else (trouble[0].strerror or "unknown").lower()
    return wrong("dns", f"{host.name} ({host.what}) has no address: {why}", "check the network and its DNS", OFFLINE)


def _tls(host: Host, clock: Clock) -> Finding:
    try:
        context = TlsContext(host.ca_file).complete() if host.ca_file else ssl.create_default_context()
        with (
            socket.create_connection((host.name, host.port), timeout=SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=host.name) as connection,
        ):
            certificate, version = connection.getpeercert() or {}, connection.version()
    except BrokerError as error:
        return failed("tls", error, "correct ca_file")
    except ssl.SSLCertVerificationError as error:
        return wrong("tls", f"{host.name}: {error.verify_message}", _certificate_remedy(error.verify_code), OFFLINE)
    except ssl.SSLError as error:
        text = f"{host.name}: no TLS there ({(error.reason or 'unknown').lower()})"
        return wrong("tls", text, "does a firewall stand in the way?", OFFLINE)
    except OSError as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or "unknown").lower()
        return wrong("tls", f"{host.name}: cannot be connected to: {why}", "check network and firewall", OFFLINE)
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter", "Jan  1 00:00:00 1970 GMT")))
    return _told_certificate(host, version or "TLS", until - clock.read().wall_seconds)


def _told_certificate(host: Host, version: str, left_seconds: float) -> Finding:
    days = int(left_seconds // DAY_SECONDS)
    text = f"{host.name}: {version}, certificate good for {counted(days, 'day')} more"
    if host.ca_file is not None and days < CERTIFICATE_DAYS:
        return doubtful("tls", text, "renew it: it seems to be your own")
    return fine("tls", text)


def _certificate_remedy(code: int) -> str:
    not_yet, expired, mismatch = 9, 10, 62  # OpenSSL's X509_V_ERR_…
    if code in {not_yet, expired}:
        return "is this machine's clock right? otherwise the other side must renew it"
    if code == mismatch:
        return "is the URL right? a proxy or a captive portal may answer in its place"
    return "a proxy that opens TLS? then name its CA certificate as ca_file of the account"


def _clock(host: Host, clock: Clock, environ: Mapping[str, str]) -> list[Finding]:
    try:
        http = BlockingHttp(Network(clock, ca_file=host.ca_file, environ=environ))
        request = HttpRequest("GET", host.asked or host.origin, host.what)
        told = http.request(request).server_seconds()
    except BrokerError as error:
        return [failed("network", error, "check network, proxy and firewall")]
    if told is None:
        return []
    skew = clock.read().wall_seconds - told
    text = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {host.name}"
    if abs(skew) > SKEW_WRONG_SECONDS:
        return [wrong("clock", text, CLOCK_HINT, "clock_unsynchronized")]
    if abs(skew) > SKEW_DOUBTFUL_SECONDS:
        return [doubtful("clock", text, CLOCK_HINT)]
    return [fine("clock", f"within {max(1, round(abs(skew)))} s of {host.name}")]
