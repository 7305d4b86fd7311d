"""Which proxy a URL goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl understands them.

Knows no connection. The one invariant: a proxy's password is in `headers` only, never in a URL or a message.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yarl import URL

from broker.config.addresses import is_loopback
from broker.errors import UpstreamRejected

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy without its credentials, and those apart, as the header that carries them."""

    url: URL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The environment's proxies by scheme ("https", "http", "all") and its exceptions ("no")."""

    by_scheme: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ProxySettings:
        """Read the variables; the lower-case one wins, as in curl."""
        found: dict[str, str] = {}
        for scheme in ("https", "http", "all", "no"):
            value = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
            if value and value.strip():
                found[scheme] = value.strip()
        return cls(found)

    def proxy_for(self, url: str, *, service: str) -> Proxy | None:
        """The proxy for `url`; loopback never has one. Raises: UpstreamRejected when it cannot be one for us."""
        target = URL(url, encoded=True)
        text = self.by_scheme.get(target.scheme) or self.by_scheme.get("all")
        host = target.host or ""
        if not text or is_loopback(host) or _is_excepted(host, self.by_scheme.get("no", "")):
            return None
        proxy = _parsed(text)
        if proxy is None or proxy.scheme not in {"http", "https"} or not proxy.host:
            raise UpstreamRejected(
                f"{service} cannot be reached: the proxy in the environment is no http:// or https:// URL",
                service=service,
                hint="check HTTPS_PROXY (or ALL_PROXY) in the environment of the service",
            )
        return Proxy(proxy.with_user(None), _credentials(proxy))


def _credentials(proxy: URL) -> dict[str, str]:
    if not (proxy.user or proxy.password):
        return {}
    pair = f"{proxy.user or ''}:{proxy.password or ''}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _is_excepted(host: str, exceptions: str) -> bool:
    """Whether NO_PROXY names `host`: a name and what is below it, an address, a network, or `*`."""
    for entry in exceptions.replace(",", " ").split():
        name = entry.lower().removeprefix("*").lstrip(".").partition(":")[0] if entry != "*" else "*"
        if name in {"*", host} or host.endswith(f".{name}") or _is_in_network(host, entry):
            return True
    return False


def _is_in_network(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _parsed(text: str) -> URL | None:
    try:
        return URL(text if "://" in text else f"http://{text}")
    except ValueError:
        return None
